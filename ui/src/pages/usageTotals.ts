/** Sums of usage, and its course over time. Pure. */
import type { Bar } from '../kit/Bars'
import type { UsageTotal } from '../types'

export interface Sum { requests: number; failed: number; input: number; output: number; latency: number | null; cost: number | null; unpriced: number }

export function summed(totals: readonly UsageTotal[]): Sum {
  const add = (of: (total: UsageTotal) => number | null): number => totals.reduce((sum, total) => sum + (of(total) ?? 0), 0)
  const timed = totals.filter(({ average_latency_ms: mean }) => mean !== null)
  const weight = timed.reduce((sum, { requests }) => sum + requests, 0)
  return {
    requests: add(({ requests }) => requests),
    failed: add(({ failed_requests: failed }) => failed),
    input: add(({ input_token_count: tokens }) => tokens),
    output: add(({ output_token_count: tokens }) => tokens),
    cost: totals.some(({ cost }) => cost) ? add(({ cost }) => Number(cost ?? 0)) : null,
    unpriced: add(({ unpriced_requests: unpriced }) => unpriced ?? 0),
    latency: weight === 0 ? null : timed.reduce((sum, { average_latency_ms: mean, requests }) => sum + (mean ?? 0) * requests, 0) / weight,
  }
}

const STEPS: Record<string, number> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 }

/** A cost for people: whole cents, or of less than that what it begins with. */
export function money(cost: string | number | null | undefined, currency: string | null | undefined): string {
  if (cost === null || cost === undefined) return '–'
  const value = Number(cost)
  const small = value !== 0 && Math.abs(value) < 0.1
  const text = value.toLocaleString(undefined, small ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 })
  return `${text} ${currency ?? ''}`.trim()
}

/** The value of a group; empty: it has none. */
export function groupValue(group: string, row: UsageTotal): string {
  const value = row[group]
  return value === null || value === undefined ? '' : String(value)
}

/** A layer more is for all others. */
export const MOST_LAYERS = 7
const MOST_GROUPS = 10_000

/** Values that have a layer of their own: those with the most requests. */
export function layersOf(totals: readonly UsageTotal[], group: string): string[] {
  const sums = new Map<string, number>()
  for (const total of totals) {
    const value = groupValue(group, total)
    sums.set(value, (sums.get(value) ?? 0) + total.requests)
  }
  return [...sums].sort(([, one], [, other]) => other - one).slice(0, MOST_LAYERS).map(([value]) => value)
}

/** What bars are stacked by: the first dimension that is no time; empty: by none, or there would be too many totals. */
export function stackOf(groups: readonly string[], totals: readonly UsageTotal[], bars: number): string {
  const group = groups.find((name) => STEPS[name] === undefined) ?? ''
  return group !== '' && new Set(totals.map((total) => groupValue(group, total))).size * (bars + 1) <= MOST_GROUPS ? group : ''
}

export const stepOf = (unit: string): number => STEPS[unit] ?? 3_600_000

/**
 * One bar for each minute, hour or day (UTC), those without a request included.
 *
 * @param group What it is stacked by.
 * @param layers Values that have a layer; one after them is for all others.
 */
export function hours(totals: readonly UsageTotal[], unit: string, start: number, end: number, group = '', layers: readonly string[] = []): Bar[] {
  const step = stepOf(unit)
  const found = new Map<number, UsageTotal[]>()
  for (const total of totals) found.set(Number(total[unit]), [...(found.get(Number(total[unit])) ?? []), total])
  const bars: Bar[] = []
  for (let time = Math.floor(start / step) * step; time < end; time += step) {
    const parts = layers.concat('').map(() => 0)
    for (const total of found.get(time) ?? []) {
      const layer = layers.indexOf(groupValue(group, total))
      const place = layer < 0 ? layers.length : layer
      parts[place] = (parts[place] ?? 0) + total.requests
    }
    const value = parts.reduce((sum, part) => sum + part, 0)
    const bad = (found.get(time) ?? []).reduce((sum, total) => sum + total.failed_requests, 0)
    const date = new Date(time)
    const label = unit === 'day'
      ? date.toLocaleDateString(undefined, { month: 'short', day: 'numeric' })
      : date.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })
    const when = date.toLocaleString()
    bars.push({ label, title: `${when}: ${value} requests, ${bad} failed`, when, time, value, bad, parts })
  }
  return bars
}
