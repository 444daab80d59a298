import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { type ApiRequest, endpointPath, get, query, readText, run } from '../api'
import { count, duration, percent, short } from '../format'
import { Check, Empty, Failure, Head, Loading, Table } from '../kit'
import { Bars } from '../kit/Bars'
import { CopyAs } from '../kit/CopyAs'
import { useAddress, useTyped } from '../kit/useAddress'
import type { UsageRow, UsageTotal } from '../types'
import { chosenOf, DAY, DRILLED, GROUPS, groupOf, LATENCIES, NONE, OF_ALL, OF_ONE, RANGES, STATUSES } from './usageAddress'
import { Costs, Drilled, drillOf, titleOf } from './UsageParts'
import { hours, money, summed } from './usageTotals'
import { Requests } from './UsageRequests'

export function UsagePage(): ReactNode {
  return <><Head title="Usage"><Link className="button" href="/usage/prices">Prices</Link></Head><Explorer /></>
}

export function EndpointUsage({ name, tracked }: { name: string; tracked: boolean }): ReactNode {
  const queries = useQueryClient()
  const enable = useMutation({
    mutationFn: async () => {
      const path = endpointPath(name, '/ai-gateway')
      const now = await get<object>(path)
      return run({ method: 'PUT', path, body: { ...now, usage_tracking_config: { enabled: true } } })
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['endpoint', name] }),
  })
  return (
    <>
      {!tracked && (
        <div className="banner warning">
          <strong>Usage is not tracked.</strong> Who asks, how many tokens and how long can be recorded from now on; prompts and answers never are.{' '}
          <button type="button" className="small" disabled={enable.isPending} onClick={() => enable.mutate()}>Enable usage tracking</button>
          <Failure error={enable.error} />
        </div>
      )}
      <Explorer endpoint={name} />
    </>
  )
}

function Explorer({ endpoint }: { endpoint?: string }): ReactNode {
  const address = useAddress(endpoint === undefined ? OF_ALL : OF_ONE)
  const [given, change] = address
  const [requester, setRequester] = useTyped(address, 'requester')
  const [requestId, setRequestId] = useTyped(address, 'request_id')
  // Whole minutes, so that the same question is asked again and again.
  const [until, setUntil] = useState(() => Math.ceil(Date.now() / 60_000) * 60_000)
  const path = endpoint === undefined ? '/api/2.0/usage' : endpointPath(endpoint, '/usage')
  const group = groupOf(given)
  const range = RANGES[given.range]?.milliseconds ?? DAY
  const chosen = chosenOf({ ...given, requester, request_id: requestId })
  const filters = { start_time: until - range, end_time: until, ...chosen }
  const filtered = Object.values(chosen).some((value) => value !== '')
  const coarse = range > 7 * DAY ? 'day' : range > DAY / 24 ? 'hour' : 'minute'
  const clear = (): void => { setRequester(''); setRequestId(''); change(NONE) }
  const drill = Object.fromEntries(DRILLED.filter((name) => given[name] !== '').map((name) => [name, given[name]]))
  const totals = useQuery({
    queryKey: ['usage', path, filters, group],
    queryFn: () => get<{ totals?: UsageTotal[] }>(path + query({ ...filters, group_by: group, percentiles: 'true' })),
  })
  const series = useQuery({
    queryKey: ['usage', path, filters, coarse],
    queryFn: () => get<{ totals?: UsageTotal[] }>(path + query({ ...filters, group_by: coarse })),
  })
  const request: ApiRequest = { method: 'GET', path: path + query({ ...filters, group_by: group, percentiles: 'true' }) }
  const found = totals.data?.totals ?? []
  const all = summed(found)
  return (
    <>
      <div className="filters">
        <select aria-label="Time" value={given.range} onChange={(event) => change({ range: event.target.value })}>
          {Object.entries(RANGES).map(([value, { title }]) => <option key={value} value={value}>{title}</option>)}
        </select>
        <select aria-label="Group by" value={group} onChange={(event) => change({ group: event.target.value })}>
          {Object.entries(GROUPS).filter(([key]) => (endpoint === undefined || key !== 'endpoint') && (range <= DAY || key !== 'minute')).map(([key, title]) => <option key={key} value={key}>By {title.toLowerCase()}</option>)}
        </select>
        <input type="search" aria-label="Requester" placeholder="Requester" value={requester} onChange={(event) => setRequester(event.target.value)} />
        <select aria-label="Status" value={given.status_code} onChange={(event) => change({ status_code: event.target.value })}>
          {given.status_code in STATUSES || <option>{given.status_code}</option>}
          {Object.entries(STATUSES).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
        </select>
        <select aria-label="Latency" value={given.min_latency_ms} onChange={(event) => change({ min_latency_ms: event.target.value })}>
          {Object.entries(LATENCIES).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
        </select>
        <input type="search" aria-label="Request id" placeholder="Request id" value={requestId} onChange={(event) => setRequestId(event.target.value)} />
        <Check label="Fallbacks only" checked={given.fallback_only} onChange={(only) => change({ fallback_only: only })} />
        <button type="button" onClick={() => setUntil(Math.ceil(Date.now() / 1000) * 1000)}>Refresh</button>
        <span className="grow" />
        <Download path={path + query({ ...filters, group_by: group, percentiles: 'true', format: 'csv' })} />
        <CopyAs request={request} />
      </div>
      <Drilled drill={drill} titles={GROUPS} onTake={(name) => change({ [name]: '' })} />
      <Failure error={totals.error ?? series.error} />
      {totals.isPending && !totals.error && <Loading />}
      {totals.data && found.length === 0 && filtered && (
        <Empty title="No request of this time passes these filters.">
          <button type="button" onClick={clear}>Clear filters</button>
        </Empty>
      )}
      {totals.data && found.length === 0 && !filtered && (
        <Empty title="Nothing was recorded in this time.">
          <p>Endpoints whose AI Gateway tracks usage are recorded, one row for each query. Prompts and answers are nowhere.</p>
        </Empty>
      )}
      {found.length > 0 && (
        <>
          <dl className="numbers">
            <div><dt>Requests</dt><dd>{count(all.requests)}</dd></div>
            <div><dt>Failed</dt><dd>{count(all.failed)} <small>{percent(all.failed, all.requests)}</small></dd></div>
            <div><dt>Tokens in</dt><dd>{short(all.input)}</dd></div>
            <div><dt>Tokens out</dt><dd>{short(all.output)}</dd></div>
            <div><dt>Mean latency</dt><dd>{duration(all.latency)}</dd></div>
            <Costs all={all} currency={found.find(({ currency }) => currency)?.currency} />
          </dl>
          <Bars label={`Requests by ${coarse}`} bars={hours(series.data?.totals ?? [], coarse, until - range, until)} />
          <Table label="Totals" rows={found} id={(row) => String(row[group])} columns={[
            { title: GROUPS[group] ?? group, cell: (row) => {
              const only = drillOf(group, row)
              const title = <strong>{titleOf(group, row)}</strong>
              return only === null ? title : <button type="button" className="link" title="Only these" onClick={() => change(only)}>{title}</button>
            } },
            { title: 'Requests', number: true, cell: (row) => count(row.requests) },
            { title: 'Failed', number: true, cell: (row) => <span title={`${count(row.errors)} of them with 5xx`}>{count(row.failed_requests)}</span> },
            { title: 'Tokens in', number: true, cell: (row) => count(row.input_token_count) },
            { title: 'Tokens out', number: true, cell: (row) => count(row.output_token_count) },
            { title: 'Cached', number: true, cell: (row) => count(row.cached_token_count) },
            ...(all.cost === null ? [] : [{ title: 'Cost', number: true, cell: (row: UsageTotal) => money(row.cost, row.currency) }]),
            { title: 'Mean', number: true, cell: (row) => duration(row.average_latency_ms) },
            { title: 'p50', number: true, cell: (row) => duration(row.p50_latency_ms) },
            { title: 'p95', number: true, cell: (row) => duration(row.p95_latency_ms) },
          ]} />
          <Rows path={path} filters={filters} />
        </>
      )}
    </>
  )
}

function Rows({ path, filters }: { path: string; filters: Record<string, string | number> }): ReactNode {
  const rows = useInfiniteQuery({
    queryKey: ['usage-rows', path, filters],
    queryFn: ({ pageParam }) => get<{ usage?: UsageRow[]; next_page_token?: string }>(
      path + query({ ...filters, max_results: 50, page_token: pageParam })),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_page_token,
  })
  return (
    <section>
      <h2>Requests</h2>
      <Failure error={rows.error} />
      <Requests rows={rows.data?.pages.flatMap(({ usage }) => usage ?? []) ?? []} />
      {rows.hasNextPage && <button type="button" disabled={rows.isFetchingNextPage} onClick={() => void rows.fetchNextPage()}>Show older</button>}
    </section>
  )
}

function Download({ path }: { path: string }): ReactNode {
  const save = useMutation({
    mutationFn: async () => {
      const url = URL.createObjectURL(new Blob([await readText(path)], { type: 'text/csv' }))
      const link = document.createElement('a')
      link.href = url
      link.download = 'usage.csv'
      link.click()
      URL.revokeObjectURL(url)
    },
  })
  return <button type="button" title={save.error?.message} disabled={save.isPending} onClick={() => save.mutate()}>CSV</button>
}
