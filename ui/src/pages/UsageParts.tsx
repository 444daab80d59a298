/** What the explorer of usage is narrowed to, and what it cost. */
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { count } from '../format'
import { useMe } from '../me'
import type { UsageTotal } from '../types'
import { money, type Sum } from './usageTotals'

/** Filters that came of a click on a group, by parameter. */
export type Drill = Record<string, string>

const NARROWS = new Set(['endpoint', 'served_entity', 'provider', 'model', 'requester', 'client', 'status_code'])
const TIMES: Record<string, Intl.DateTimeFormatOptions> = {
  day: { dateStyle: 'medium' },
  hour: { dateStyle: 'medium', timeStyle: 'short' },
  minute: { dateStyle: 'medium', timeStyle: 'short' },
}

/** The filter that selects a group; null: there is none, or the group has no value. */
export function drillOf(group: string, row: UsageTotal): Drill | null {
  const value = row[group]
  if (!NARROWS.has(group) || value === null || value === undefined || value === '') return null
  return { [group]: String(value) }
}

export function titleOf(group: string, row: UsageTotal): string {
  const form = TIMES[group]
  if (form !== undefined) return new Date(Number(row[group])).toLocaleString(undefined, form)
  const value = row[group]
  return value === null || value === undefined || value === '' ? 'none' : String(value)
}

export function Drilled({ drill, titles, onTake }: {
  drill: Drill
  titles: Record<string, string>
  onTake: (name: string) => void
}): ReactNode {
  const entries = Object.entries(drill)
  if (entries.length === 0) return null
  return (
    <div className="filters" role="group" aria-label="Narrowed to">
      {entries.map(([name, value]) => (
        <button type="button" className="small" key={name} aria-label={`Take away ${titles[name] ?? name} ${value}`}
          onClick={() => onTake(name)}>
          {titles[name] ?? name}: {value} ✕
        </button>
      ))}
    </div>
  )
}

/** The cost of all, and of how many requests nobody knows one. */
export function Costs({ all, currency }: { all: Sum; currency: string | null | undefined }): ReactNode {
  const { admin } = useMe()
  if (all.cost === null && !admin) return null
  return (
    <div>
      <dt>Cost</dt>
      <dd>
        {money(all.cost, currency)}{' '}
        {all.unpriced > 0 && <small>{count(all.unpriced)} without a price{admin && <> · <Link href="/usage/prices">set</Link></>}</small>}
      </dd>
    </div>
  )
}
