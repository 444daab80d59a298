/** Where the bars of a waterfall begin and end. */
import type { DeploymentStep, Rollout, RolloutWorker } from './types'

/** A part of a bar, as shares of its whole length, from 0 to 1. */
export interface Span { from: number; to: number; kind: string }

/** A phase of a rollout: when it began, and how long the slowest took, in milliseconds. */
export interface Phase { start: number; length: number }

/** When the workers prepared a version, and when they switched to it. */
export function phasesOf(rollout: Rollout, now: number): { prepare: Phase; activate: Phase | null } {
  const workers = rollout.workers ?? []
  const last = (times: (number | undefined)[], end: number | undefined): number =>
    Math.max(0, ...times.map((time) => time ?? 0), end ?? now)
  const prepare = { start: rollout.start_time, length: 0 }
  const over = rollout.prepared_time ?? rollout.end_time
  prepare.length = last(workers.map(({ prepared_time: time }) => time), over) - prepare.start
  if (rollout.prepared_time === undefined) return { prepare, activate: null }
  const activate = { start: rollout.prepared_time, length: 0 }
  activate.length = last(workers.map(({ active_time: time }) => time), rollout.end_time) - activate.start
  return { prepare, activate }
}

/** The bar of a worker in one phase; what it has not done yet is waited for until now. */
export function spanOf(phase: Phase, done: number | undefined, ended: boolean): Span[] {
  if (done !== undefined) return [{ from: 0, to: share(done - phase.start, phase.length), kind: 'done' }]
  return ended ? [] : [{ from: 0, to: 1, kind: 'waiting' }]
}

/** The bar of a hosted model: one part for each stage. */
export function stepsOf(steps: DeploymentStep[], start: number, end: number): Span[] {
  return steps.map((step) => ({
    from: share(step.start_time - start, end - start),
    to: share((step.end_time ?? end) - start, end - start),
    kind: step.stage,
  }))
}

/** How long a phase took a worker, in milliseconds; null: it has not, or nobody knows. */
export function taken(phase: Phase | null, done: number | undefined): number | null {
  return phase === null || done === undefined ? null : Math.max(0, done - phase.start)
}

/** The time within which half of the workers, and the time within which all, had done it. */
export function spread(phase: Phase | null, times: (number | undefined)[]): { median: number; most: number } | null {
  const known = times.map((time) => taken(phase, time)).filter((time) => time !== null).sort((a, b) => a - b)
  const median = known[Math.ceil(known.length / 2) - 1]
  const most = known.at(-1)
  return median === undefined || most === undefined ? null : { median, most }
}

/** So many workers are a list that can be read; of more, the slowest, and how many took how long. */
export const MOST_BARS = 100
const BINS = 20

/** Workers that took a time from `from` to below `to`, in milliseconds. */
export interface Bin { from: number; to: number; count: number }

/** How many workers took how long, in equal steps up to the slowest; whoever has not done it is in none. */
export function binsOf(phase: Phase, times: (number | undefined)[]): Bin[] {
  const known = times.map((time) => taken(phase, time)).filter((time) => time !== null)
  const width = Math.max(1, ...known) / BINS
  const bins = Array.from({ length: BINS }, (_, place) => ({ from: place * width, to: (place + 1) * width, count: 0 }))
  for (const time of known) bins[Math.min(BINS - 1, Math.floor(time / width))]!.count += 1
  return bins
}

// Who has not followed says most.
const FIRST = ['REFUSED', 'DROPPED', 'WAITING', 'PREPARED']

/** The workers with those first that have not followed, and then those that were last. */
export function slowestFirst(workers: readonly RolloutWorker[]): RolloutWorker[] {
  const order = ({ state }: RolloutWorker): number => (FIRST.includes(state) ? FIRST.indexOf(state) : FIRST.length)
  const end = (worker: RolloutWorker): number => worker.active_time ?? worker.prepared_time ?? 0
  return [...workers].sort((one, other) => order(one) - order(other) || end(other) - end(one))
}

export function has(state: string, workers: RolloutWorker[]): number {
  return workers.filter((worker) => worker.state === state).length
}

function share(part: number, whole: number): number {
  return whole <= 0 ? 1 : Math.min(1, Math.max(0, part / whole))
}
