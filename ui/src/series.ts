/** What the charts of an endpoint draw, of the course that the API tells. Pure. */

export interface EntitySeries {
  served_entity_name?: string
  requests?: number[]
  client_errors?: number[]
  server_errors?: number[]
  limited?: number[]
  input_tokens?: number[]
  output_tokens?: number[]
  latency_p50_ms?: number[]
  latency_p95_ms?: number[]
  latency_p99_ms?: number[]
  first_chunk_p50_ms?: number[]
  first_chunk_p95_ms?: number[]
}
export interface Series {
  step_seconds: number
  times?: number[]
  entities?: EntitySeries[]
  versions?: { time: number; config_version: number }[]
}
type Field = Exclude<keyof EntitySeries, 'served_entity_name'>

/** A line of a chart: a value for each time, null where there is none. */
export interface Line {
  name: string
  /** Place of its color; -1: none of an entity. */
  color: number
  dashed: boolean
  values: (number | null)[]
}

/** How long a time is shown, and in which steps. */
export interface Range { id: string; title: string; milliseconds: number; step: number }

const MINUTE = 60_000
export const RANGES: readonly Range[] = [
  { id: '15m', title: '15 minutes', milliseconds: 15 * MINUTE, step: 5 },
  { id: '1h', title: '1 hour', milliseconds: 60 * MINUTE, step: 60 },
  { id: '6h', title: '6 hours', milliseconds: 360 * MINUTE, step: 60 },
  { id: '7d', title: '7 days', milliseconds: 7 * 1440 * MINUTE, step: 3600 },
]

export const NOT_ASKED = 'before one was asked'
const COLORS = 8

export const nameOf = ({ served_entity_name: name }: EntitySeries): string => name || NOT_ASKED

/** Lines of the entities that have something to show. */
export function linesOf(entities: readonly EntitySeries[], value: (entity: EntitySeries, place: number) => number | null, suffix = '', dashed = false): Line[] {
  return entities.flatMap((entity, place) => {
    const values = (entity.requests ?? []).map((_, at) => value(entity, at))
    const color = entity.served_entity_name ? place % COLORS : -1
    return values.some((one) => one !== null && one > 0) ? [{ name: nameOf(entity) + suffix, color, dashed, values }] : []
  })
}

/** A count, zero where nothing was counted. */
export const counted = (...fields: Field[]) => (entity: EntitySeries, at: number): number =>
  fields.reduce((sum, field) => sum + (entity[field]?.[at] ?? 0), 0)

/** A time, null where nothing ended. */
export const measured = (field: Field) => (entity: EntitySeries, at: number): number | null => entity[field]?.[at] || null

export function total(entities: readonly EntitySeries[], field: Field): number {
  return entities.reduce((sum, entity) => sum + (entity[field] ?? []).reduce((part, value) => part + value, 0), 0)
}

/** The least round number that is not below any value. */
export function topOf(lines: readonly Line[]): number {
  const most = Math.max(0, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0)))
  if (most === 0) return 1
  const power = 10 ** Math.floor(Math.log10(most))
  return [1, 2, 4, 5, 10].map((part) => part * power).find((top) => top >= most) ?? most
}

/** The pieces of a line, each from place to place without a gap. */
export function pieces(values: readonly (number | null)[]): [number, number][] {
  const found: [number, number][] = []
  values.forEach((value, at) => {
    if (value === null) return
    const last = found.at(-1)
    if (last !== undefined && last[1] === at - 1) last[1] = at
    else found.push([at, at])
  })
  return found
}

/** An SVG path through the values from place to place; a single one is a short stroke. */
export function pathOf(values: readonly (number | null)[], x: (at: number) => number, y: (value: number) => number, [from, to]: [number, number]): string {
  const points = values.slice(from, to + 1).map((value, place) => `${x(from + place).toFixed(1)} ${y(value ?? 0).toFixed(1)}`)
  return points.length === 1 ? `M${points[0]}h0.1` : `M${points.join('L')}`
}

/** Places of times that are written below a chart, evenly and no more than so many. */
export function ticksOf(times: readonly number[], most: number): number[] {
  const every = Math.max(1, Math.ceil(times.length / Math.max(1, most)))
  return times.map((_, at) => at).filter((at) => at % every === 0)
}

const MINUTES = 15

/** What a served entity did in the last quarter of an hour. */
export interface Recent {
  /** 95 % of its calls took no longer than this; null: it ended none. */
  within: number | null
  /** In and out together; null: it had none. */
  tokensPerSecond: number | null
}

/** The question for it, which the charts of an hour ask in another range. */
export const recentQuery = (now: number): { step_seconds: number; start_time: number } => ({ step_seconds: 60, start_time: now - MINUTES * MINUTE })

/**
 * What each entity did, by its name.
 *
 * Of several minutes together 95 % took no longer than in the one in which that took longest.
 */
export function recentOf({ times = [], entities = [] }: Series, now: number): Map<string, Recent> {
  const seconds = Math.max(60, (now - (times[0] ?? now)) / 1000)
  return new Map(entities.map((entity) => {
    const tokens = total([entity], 'input_tokens') + total([entity], 'output_tokens')
    const longest = Math.max(0, ...entity.latency_p95_ms ?? [])
    return [entity.served_entity_name ?? '', {
      within: longest > 0 ? longest : null,
      tokensPerSecond: tokens > 0 ? tokens / seconds : null,
    }]
  }))
}
