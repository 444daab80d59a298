/** What the explorer of usage is narrowed to, as its address has it. Pure. */
import { flag, oneOf, type Parameter, text, type Values, whole } from '../address'
import type { UsageTotal } from '../types'
import { groupValue } from './usageTotals'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** How long a time is told, by its name in the address. */
export const RANGES: Record<string, { title: string; milliseconds: number }> = {
  hour: { title: 'Last hour', milliseconds: HOUR },
  day: { title: 'Last 24 hours', milliseconds: DAY },
  week: { title: 'Last 7 days', milliseconds: 7 * DAY },
  month: { title: 'Last 30 days', milliseconds: 30 * DAY },
}
export const STATUSES: Record<string, string> = { '': 'Status: all', '2xx': 'Answered (2xx)', '4xx': 'Refused (4xx)', '429': 'Limited (429)', '5xx': 'Failed (5xx)', RUNNING: 'Not ended yet', UNKNOWN: 'Unknown end' }
export const LATENCIES: Record<string, string> = { '': 'Latency: all', '1000': '1 s and more', '10000': '10 s and more', '60000': 'a minute and more' }
export const GROUPS: Record<string, string> = {
  endpoint: 'Endpoint', served_entity: 'Served entity', provider: 'Provider', model: 'Model', requester: 'Requester', task: 'Task', client: 'Client', status_code: 'Status', guardrail_action: 'Guardrails', day: 'Day', hour: 'Hour', minute: 'Minute',
}
/** What a dimension begins with that is a tag's, whose key comes after it. */
export const TAG = 'tag:'
// Commas part dimensions, and what comes after `=` is a value.
const KEY = /^[^\p{Cc}"\\,=]{0,128}$/u
const FINER: Record<string, string> = { day: 'hour', hour: 'minute' }
/** What a click on a group narrows to, and no field of the page does. */
export const DRILLED = ['endpoint', 'served_entity', 'provider', 'model', 'client'] as const
const NARROWS: ReadonlySet<string> = new Set([...DRILLED, 'requester', 'status_code'])

export const isKey = (text: string): boolean => KEY.test(text)

export function titleOfGroup(group: string): string {
  return group.startsWith(TAG) ? `Tag ${group.slice(TAG.length)}` : GROUPS[group] ?? group
}

const status: Parameter<string> = { fallback: '', read: (given) => (/^([1-5]\d\d|[245]xx|RUNNING|UNKNOWN)$/.test(given) ? given : undefined) }

function dimension(names: readonly string[], fallback: string): Parameter<string> {
  const known = (given: string): boolean => names.includes(given) || (given.startsWith(TAG) && isKey(given.slice(TAG.length)))
  return { fallback, read: (given) => (known(given) ? given : undefined) }
}

function parameters(group: string, groups: readonly string[]) {
  return {
    range: oneOf(Object.keys(RANGES), 'day'),
    // In minutes since the epoch; 0: the time ends now.
    start: whole,
    group: dimension(groups, group),
    then: dimension(groups, ''),
    requester: text(),
    tag: text(),
    status_code: status,
    min_latency_ms: oneOf(Object.keys(LATENCIES), ''),
    request_id: text(),
    fallback_only: flag,
    endpoint: text(), served_entity: text(), provider: text(), model: text(), client: text(),
  }
}

export const OF_ALL = parameters('endpoint', Object.keys(GROUPS))
export const OF_ONE = parameters('served_entity', Object.keys(GROUPS).filter((group) => group !== 'endpoint'))
export type Explored = Values<typeof OF_ALL>

/** Nothing that it is narrowed to. */
export const NONE: Partial<Explored> = {
  requester: '', tag: '', status_code: '', min_latency_ms: '', request_id: '', fallback_only: false,
  endpoint: '', served_entity: '', provider: '', model: '', client: '',
}

/** Filters of the API. */
export function chosenOf({ range: _, start: __, group: ___, then: ____, fallback_only: only, status_code: code, requester, tag, request_id: id, ...others }: Explored): Record<string, string> {
  const ended = /^\d/.test(code)
  return {
    ...others, requester: requester.trim(), tag: tag.trim(), request_id: id.trim(), fallback_only: only ? 'true' : '',
    status_code: ended ? code : '', state: ended ? '' : code,
  }
}

/** From when to when; what has no begin ends at `now`. */
export function spanOf({ range, start }: Explored, now: number): [number, number] {
  const length = RANGES[range]?.milliseconds ?? DAY
  return start === 0 ? [now - length, now] : [start * MINUTE, start * MINUTE + length]
}

/** Whether a dimension is told of such a range: minutes of a day at most. */
export function isTold(group: string, range: string): boolean {
  return group !== 'minute' || (RANGES[range]?.milliseconds ?? 0) <= DAY
}

/** The dimension that is told of such a range. */
export const toldOf = (group: string, range: string): string => (isTold(group, range) ? group : 'hour')

/** What totals are told by; none while the key of a tag is missing. */
export function groupsOf({ group, then, range }: Explored): string[] {
  const asked = [group, then].filter((name) => name !== '').map((name) => toldOf(name, range))
  return asked.includes(TAG) ? [] : [...new Set(asked)]
}

/** What shows one group alone; null: nothing does, or the group has no value. */
export function drillOf(group: string, row: UsageTotal, { group: first }: Explored): Partial<Explored> | null {
  const value = groupValue(group, row)
  if (value === '') return null
  if (group.startsWith(TAG)) return { tag: `${group.slice(TAG.length)}=${value}` }
  const finer = FINER[group]
  if (finer !== undefined) return { ...within(group, Number(value)), [first === group ? 'group' : 'then']: finer }
  return NARROWS.has(group) ? { [group]: value } : null
}

/** One day or hour, from its begin on. */
export function within(unit: string, begin: number): Partial<Explored> {
  return { start: begin / MINUTE, range: unit }
}
