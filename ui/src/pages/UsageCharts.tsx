/** Usage over time and by group, each to be narrowed by a click. */
import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { get, query } from '../api'
import { count, duration, percent, short } from '../format'
import { type Column, Failure, Table } from '../kit'
import { Bars } from '../kit/Bars'
import type { Change } from '../kit/useAddress'
import type { UsageTotal } from '../types'
import { DAY, drillOf, type Explored, type OF_ALL, titleOfGroup, within } from './usageAddress'
import { Costs, NO_VALUE, titleOf } from './UsageParts'
import { groupValue, hours, layersOf, money, MOST_LAYERS, stackOf, stepOf, summed } from './usageTotals'

type Narrow = Change<typeof OF_ALL>

/** The sums of all, and bars by day, hour or minute, stacked by the first group that is no time. */
export function Course({ path, filters, groups, totals, span: [start, end], onChange }: {
  path: string
  filters: Record<string, string | number>
  groups: string[]
  totals: UsageTotal[]
  span: [number, number]
  onChange: Narrow
}): ReactNode {
  const length = end - start
  const unit = length > 7 * DAY ? 'day' : length > DAY / 24 ? 'hour' : 'minute'
  const stack = stackOf(groups, totals, length / stepOf(unit))
  const asked = path + query({ ...filters, group_by: stack === '' ? unit : `${unit},${stack}` })
  const series = useQuery({ queryKey: ['usage', asked], queryFn: () => get<{ totals?: UsageTotal[] }>(asked) })
  const all = summed(totals)
  const layers = stack === '' ? [] : layersOf(totals, stack)
  const names = layers.map((layer) => layer || NO_VALUE)
  const more = stack !== '' && layers.length === MOST_LAYERS && totals.some((total) => !layers.includes(groupValue(stack, total)))
  return (
    <>
      <dl className="numbers">
        <div><dt>Requests</dt><dd>{count(all.requests)}</dd></div>
        <div><dt>Failed</dt><dd>{count(all.failed)} <small>{percent(all.failed, all.requests)}</small></dd></div>
        <div><dt>Tokens in</dt><dd>{short(all.input)}</dd></div>
        <div><dt>Tokens out</dt><dd>{short(all.output)}</dd></div>
        <div><dt>Mean latency</dt><dd>{duration(all.latency)}</dd></div>
        <Costs all={all} currency={totals.find(({ currency }) => currency)?.currency} />
      </dl>
      <Failure error={series.error} />
      <Bars label={`Requests by ${unit}`} bars={hours(series.data?.totals ?? [], unit, start, end, stack, layers)} layers={more ? [...names, 'all others'] : names}
        onChoose={unit === 'minute' ? undefined : (time) => onChange(within(unit, time))} />
    </>
  )
}

/** What each group used. */
export function Totals({ groups, totals, given, onChange }: { groups: string[]; totals: UsageTotal[]; given: Explored; onChange: Narrow }): ReactNode {
  const named = groups.map((group): Column<UsageTotal> => ({
    title: titleOfGroup(group),
    long: true,
    cell: (row) => {
      const only = drillOf(group, row, given)
      const title = <strong>{titleOf(group, row)}</strong>
      return only === null ? title : <button type="button" className="link" title="Only these" onClick={() => onChange(only)}>{title}</button>
    },
  }))
  return (
    <Table label="Totals" rows={totals} id={(row) => JSON.stringify(groups.map((group) => row[group]))} columns={[
      ...named,
      { title: 'Requests', number: true, cell: (row) => count(row.requests) },
      { title: 'Failed', number: true, cell: (row) => <span title={`${count(row.errors)} of them with 5xx`}>{count(row.failed_requests)}</span> },
      { title: 'Tokens in', number: true, cell: (row) => count(row.input_token_count) },
      { title: 'Tokens out', number: true, cell: (row) => count(row.output_token_count) },
      ...(totals.some(({ cached_token_count: cached }) => cached) ? [{ title: 'Cached', number: true, cell: (row: UsageTotal) => count(row.cached_token_count) }] : []),
      ...(totals.some(({ cost }) => cost) ? [{ title: 'Cost', number: true, cell: (row: UsageTotal) => money(row.cost, row.currency) }] : []),
      { title: 'Mean', number: true, cell: (row) => duration(row.average_latency_ms) },
      { title: 'p50', number: true, cell: (row) => duration(row.p50_latency_ms) },
      { title: 'p95', number: true, cell: (row) => duration(row.p95_latency_ms) },
    ]} />
  )
}
