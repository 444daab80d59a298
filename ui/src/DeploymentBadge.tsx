import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { get, readText } from './api'
import { type Fleet, fleetOf, WORKERS } from './fleet'

const PAUSE_MS = 15_000
// While one is behind, which is over soon.
const LATE_MS = 2000

/**
 * How far the workers are; for those who may not list them, whether one answers.
 *
 * @param admin Whether the caller may list them.
 */
export function DeploymentBadge({ admin }: { admin: boolean }): ReactNode {
  const fleet = useQuery({
    queryKey: ['workers'],
    queryFn: () => get<Fleet>(WORKERS),
    enabled: admin,
    refetchInterval: ({ state }) => (state.data !== undefined && fleetOf(state.data).look !== 'success' ? LATE_MS : PAUSE_MS),
  })
  // Also while nobody can be asked who they are: workers answer without the control plane.
  if (!admin || fleet.data === undefined || fleet.error) return <Health />
  const { text, look, why } = fleetOf(fleet.data)
  return <Link href="/workers" className={`badge state ${look}`} title={why}>{text}</Link>
}

/** Whether a worker is ready to answer queries. */
function Health(): ReactNode {
  const health = useQuery({
    queryKey: ['health'],
    queryFn: () => readText('/health').then(() => true, () => false),
    refetchInterval: PAUSE_MS,
  })
  if (health.data === undefined) return null
  return health.data
    ? <span className="badge state success" role="status">Workers ready</span>
    : <span className="badge state danger" role="status">No worker is ready</span>
}
