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

/** One bar for each minute, hour or day (UTC), those without a request included. */
export function hours(totals: readonly UsageTotal[], unit: string, start: number, end: number): Bar[] {
  const step = STEPS[unit] ?? 3_600_000
  const found = new Map(totals.map((total) => [Number(total[unit]), total]))
  const bars: Bar[] = []
  for (let time = Math.floor(start / step) * step; time < end; time += step) {
    const total = found.get(time)
    const value = total?.requests ?? 0
    const bad = total?.failed_requests ?? 0
    const date = new Date(time)
    const label = unit === 'day'
      ? date.toLocaleDateString(undefined, { month: 'short', day: 'numeric' })
      : date.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })
    const when = date.toLocaleString()
    bars.push({ label, title: `${when}: ${value} requests, ${bad} failed`, when, value, bad })
  }
  return bars
}
