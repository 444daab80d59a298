/** How far the workers have followed, in a line. Pure. */
import type { Worker } from './types'

/** Answer of `GET /api/2.0/workers`. */
export interface Fleet { newest_revision: string; workers?: Worker[] }

export const WORKERS = '/api/2.0/workers'

/** How far a worker is behind, in words. */
export function behindOf({ applied_revision: applied }: Worker, newest: string): string {
  const missing = Number(newest) - Number(applied)
  return `${missing} ${missing === 1 ? 'revision' : 'revisions'} behind`
}

/** How many follow, how that is to look, and who is the last one. */
export function fleetOf({ newest_revision: newest, workers = [] }: Fleet): { text: string; look: string; why: string } {
  if (workers.length === 0) return { text: 'No worker is connected', look: 'danger', why: 'No query is answered.' }
  const late = workers.filter((worker) => !worker.up_to_date)
  const text = `${workers.length - late.length}/${workers.length} workers, rev ${newest}`
  const [last] = late.sort((one, other) => Number(one.applied_revision) - Number(other.applied_revision))
  return last === undefined
    ? { text, look: 'success', why: 'Every worker serves the newest revision.' }
    : { text, look: 'warning', why: `The last one, ${last.worker_id}, is ${behindOf(last, newest)}.` }
}
