import type { ReactNode } from 'react'
import { bytes, duration } from '../format'
import type { Progress } from '../types'

export const STAGES: Record<string, string> = {
  WAITING: 'Waiting for a launcher',
  FETCHING: 'Fetching the files',
  BUILDING_ENVIRONMENT: 'Building the environment',
  CONVERTING: 'Converting the weights',
  STARTING: 'Starting',
}

/** How far a hosted model is that is being deployed, and until when, as far as that is known. */
export function DeploymentProgress({ progress, now = Date.now() }: { progress: Progress; now?: number }): ReactNode {
  const { stage, start_time: start, done, total, estimated_end_time: end } = progress
  const known = done !== undefined && total !== undefined
  const words = [
    known ? (stage === 'FETCHING' ? `${bytes(done)} of ${bytes(total)}` : `${Math.floor((100 * done) / total)} %`) : '',
    start === undefined ? '' : `for ${duration(Math.max(0, now - start))}`,
    end === undefined ? '' : `about ${duration(Math.max(0, end - now))} left`,
  ].filter(Boolean)
  const name = STAGES[stage] ?? stage
  return (
    <div className="deployment">
      {known ? <progress aria-label={name} value={done} max={total} /> : <progress aria-label={name} />}
      <small>{[name, ...words].join(' · ')}</small>
    </div>
  )
}
