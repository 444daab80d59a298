/** What the explorer of usage is narrowed to, as its address has it. Pure. */
import { flag, oneOf, type Parameter, text, type Values } from '../address'

const HOUR = 3_600_000
export const DAY = 24 * HOUR

/** How long a time is told, by its name in the address. */
export const RANGES: Record<string, { title: string; milliseconds: number }> = {
  hour: { title: 'Last hour', milliseconds: HOUR },
  day: { title: 'Last 24 hours', milliseconds: DAY },
  week: { title: 'Last 7 days', milliseconds: 7 * DAY },
  month: { title: 'Last 30 days', milliseconds: 30 * DAY },
}
export const STATUSES: Record<string, string> = { '': 'Status: all', '2xx': 'Answered (2xx)', '4xx': 'Refused (4xx)', '429': 'Limited (429)', '5xx': 'Failed (5xx)' }
export const LATENCIES: Record<string, string> = { '': 'Latency: all', '1000': '1 s and more', '10000': '10 s and more', '60000': 'a minute and more' }
export const GROUPS: Record<string, string> = {
  endpoint: 'Endpoint', served_entity: 'Served entity', provider: 'Provider', model: 'Model', requester: 'Requester', task: 'Task', client: 'Client', status_code: 'Status', day: 'Day', hour: 'Hour', minute: 'Minute',
}
/** What a click on a group narrows to, and no field of the page does. */
export const DRILLED = ['endpoint', 'served_entity', 'provider', 'model', 'client'] as const

const status: Parameter<string> = { fallback: '', read: (given) => (/^([1-5]\d\d|[245]xx)$/.test(given) ? given : undefined) }

function parameters(group: string, groups: readonly string[]) {
  return {
    range: oneOf(Object.keys(RANGES), 'day'),
    group: oneOf(groups, group),
    requester: text(),
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
  requester: '', status_code: '', min_latency_ms: '', request_id: '', fallback_only: false,
  endpoint: '', served_entity: '', provider: '', model: '', client: '',
}

/** Filters of the API. */
export function chosenOf({ range: _, group: __, fallback_only: only, requester, request_id: id, ...others }: Explored): Record<string, string> {
  return { ...others, requester: requester.trim(), request_id: id.trim(), fallback_only: only ? 'true' : '' }
}

/** Minutes are told of a day at most. */
export function groupOf({ group, range }: Explored): string {
  return group === 'minute' && (RANGES[range]?.milliseconds ?? 0) > DAY ? 'hour' : group
}
