import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useEffect, useState } from 'react'
import { oneOf } from '../../address'
import { endpointPath, get, HOST, query } from '../../api'
import { count, duration, short, when } from '../../format'
import { Empty, Failure, Loading, Table } from '../../kit'
import { type Mark, TimeChart } from '../../kit/TimeChart'
import { useAddress } from '../../kit/useAddress'
import { snippets } from '../../snippets'
import type { Endpoint } from '../../types'
import { exampleRequest } from '../playground/examples'
import { counted, type EntitySeries, type Line, linesOf, measured, nameOf, type Range, RANGES, type Series, total } from '../../series'

const EACH: Record<number, string> = { 5: 'every 5 seconds', 60: 'by minute', 3600: 'by hour' }
// Half a request is none.
const whole = (value: number): string => (value < 10 && !Number.isInteger(value) ? '' : short(value))
const LIVE_MS = 5000
const SLOW_MS = 60_000
const PARAMETERS = { range: oneOf(RANGES.map(({ id }) => id), '1h') }

/** What the served entities did, as it goes on, with a mark at each version. */
export function Charts({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const { name } = endpoint
  const [{ range: chosen }, change] = useAddress(PARAMETERS)
  const range = RANGES.find(({ id }) => id === chosen) ?? RANGES[0]!
  const path = endpointPath(name, '/metrics-series')
  const series = useQuery({
    queryKey: ['series', name, chosen],
    queryFn: () => get<Series>(path + query({ step_seconds: range.step, start_time: Date.now() - range.milliseconds })),
    refetchInterval: range.step === 3600 ? SLOW_MS : LIVE_MS,
  })
  return (
    <section className="charts" aria-label="Traffic">
      <div className="card-head">
        <h2>Traffic</h2>
        <div className="segments" role="group" aria-label="Time">
          {RANGES.map(({ id, title }) => <button key={id} type="button" className="small" aria-pressed={id === chosen} onClick={() => change({ range: id })}>{title}</button>)}
        </div>
      </div>
      <Failure error={series.error} />
      {series.isPending && !series.error && <Loading />}
      {series.data && <Drawn endpoint={endpoint} series={series.data} range={range} />}
    </section>
  )
}

interface Chart { title: string; lines: Line[]; format: (value: number) => string; none: string }

function Drawn({ endpoint, series, range }: { endpoint: Endpoint; series: Series; range: Range }): ReactNode {
  const [waited, setWaited] = useState(false)
  const { times = [], entities = [], versions = [] } = series
  const none = total(entities, 'requests') === 0
  useEffect(() => {
    if (none) setWaited(true)
  }, [none])
  if (none) return <Nothing endpoint={endpoint} range={range} times={times} />
  const marks: Mark[] = versions.map(({ time, config_version: version }) => ({ time, text: `v${version}` }))
  const each = EACH[series.step_seconds] ?? ''
  const charts = chartsOf(entities, each)
  return (
    <>
      {waited && <p className="state success" role="status">Queries arrive.</p>}
      <div className="chart-grid">
        {charts.filter(({ lines }) => lines.length > 0).map(({ title, lines, format }) => (
          <TimeChart key={title} title={title} lines={lines} format={format} times={times} step={series.step_seconds} marks={marks} clock={clockOf(range)} />
        ))}
      </div>
      {charts.some(({ lines, none }) => lines.length === 0 && none !== '') && (
        <p className="muted">{charts.filter(({ lines }) => lines.length === 0).map(({ none }) => none).join(' ')}</p>
      )}
      <Numbers series={series} range={range} />
    </>
  )
}

function chartsOf(entities: readonly EntitySeries[], each: string): Chart[] {
  return [
    { title: `Requests ${each}`, lines: linesOf(entities, counted('requests')), format: whole, none: '' },
    { title: `Refused and failed ${each}`, lines: linesOf(entities, counted('client_errors', 'server_errors')), format: whole, none: 'Nothing was refused, and nothing failed.' },
    {
      title: 'Duration: half of the calls, and 95 %', format: duration, none: '',
      lines: [...linesOf(entities, measured('latency_p50_ms'), ', half', true), ...linesOf(entities, measured('latency_p95_ms'), ', 95 %')],
    },
    {
      title: 'First chunk of streams: half of them, and 95 %', format: duration, none: '',
      lines: [...linesOf(entities, measured('first_chunk_p50_ms'), ', half', true), ...linesOf(entities, measured('first_chunk_p95_ms'), ', 95 %')],
    },
    {
      title: `Tokens ${each}`, format: whole, none: '',
      lines: [...linesOf(entities, counted('input_tokens'), ', in', true), ...linesOf(entities, counted('output_tokens'), ', out')],
    },
  ]
}

function Nothing({ endpoint, range, times }: { endpoint: Endpoint; range: Range; times: readonly number[] }): ReactNode {
  const [curl] = snippets(exampleRequest(endpoint), HOST)
  const since = times[0]
  return (
    <Empty title={range.step === 5 && times.length < 2 ? 'Each 5 seconds are recorded from now on, while you look.' : `No calls in the last ${range.title.replace('1 hour', 'hour')}.`}>
      {range.step === 5 && since !== undefined && times.length >= 2
        ? `Recorded since ${clockOf(range)(since)}. New calls show within five seconds.`
        : 'New calls show within five seconds.'}
      {curl && <pre className="first-query" tabIndex={0} aria-label="A first query">{curl.text}</pre>}
      <p className="state muted" role="status">Waiting for the next query</p>
    </Empty>
  )
}

function clockOf(range: Range): (time: number) => string {
  const style: Intl.DateTimeFormatOptions = range.step === 5
    ? { hour: '2-digit', minute: '2-digit', second: '2-digit' }
    : range.step === 60
      ? { hour: '2-digit', minute: '2-digit' }
      : { month: 'short', day: 'numeric', hour: '2-digit' }
  return (time) => new Date(time).toLocaleString(undefined, style)
}

interface Row { key: string; time: number; name: string; entity: EntitySeries; at: number }

/** All that the charts draw, for those who read numbers; the newest first, steps without calls left out. */
function Numbers({ series, range }: { series: Series; range: Range }): ReactNode {
  const [open, setOpen] = useState(false)
  const { times = [], entities = [] } = series
  const rows = (): Row[] => times.flatMap((time, at) => entities.flatMap((entity) =>
    (entity.requests?.[at] ?? 0) > 0 ? [{ key: `${time} ${nameOf(entity)}`, time, name: nameOf(entity), entity, at }] : [])).reverse()
  const number = (field: Exclude<keyof EntitySeries, 'served_entity_name'>) => ({ entity, at }: Row): string => count(entity[field]?.[at] ?? 0)
  const time = (field: 'latency_p50_ms' | 'latency_p95_ms' | 'latency_p99_ms' | 'first_chunk_p50_ms' | 'first_chunk_p95_ms') =>
    ({ entity, at }: Row): string => duration(entity[field]?.[at] || null)
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>As a table</summary>
      {open && (
        <Table label="Traffic as a table" rows={rows()} id={({ key }) => key} columns={[
          { title: 'Time', narrow: true, cell: (row) => <span title={when(row.time)}>{clockOf(range)(row.time)}</span> },
          { title: 'Entity', cell: (row) => row.name },
          { title: 'Requests', number: true, cell: number('requests') },
          { title: 'Refused', number: true, cell: number('client_errors') },
          { title: 'Too many', number: true, cell: number('limited') },
          { title: 'Failed', number: true, cell: number('server_errors') },
          { title: 'Half', number: true, cell: time('latency_p50_ms') },
          { title: '95 %', number: true, cell: time('latency_p95_ms') },
          { title: '99 %', number: true, cell: time('latency_p99_ms') },
          { title: 'First chunk', number: true, cell: time('first_chunk_p50_ms') },
          { title: 'First chunk, 95 %', number: true, cell: time('first_chunk_p95_ms') },
          { title: 'Tokens in', number: true, cell: number('input_tokens') },
          { title: 'Tokens out', number: true, cell: number('output_tokens') },
        ]} />
      )}
    </details>
  )
}
