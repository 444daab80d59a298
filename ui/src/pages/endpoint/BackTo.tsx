import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { endpointPath, get, query } from '../../api'
import { ago } from '../../format'
import { NEEDS_MANAGE } from '../../kit'
import type { ConfigVersion, Endpoint } from '../../types'
import { Compare } from './Versions'

// For as long as a change is likely to be what is wrong.
const OFFERED_MS = 600_000
// Versions among which the one before is looked for: those that failed lie between.
const LOOKED_AT = 20

/** For ten minutes after a version began to serve, the way back to the one that served before. */
export function BackTo({ endpoint, manages }: { endpoint: Endpoint; manages: boolean }): ReactNode {
  const [open, setOpen] = useState(false)
  const { name, last_updated_timestamp: updated = 0 } = endpoint
  const current = endpoint.config?.config_version ?? 0
  const settled = endpoint.state?.config_update !== 'IN_PROGRESS'
  const recent = current > 1 && settled && Date.now() - updated < OFFERED_MS
  const list = useQuery({
    queryKey: ['endpoint', name, 'versions', 'before', current],
    queryFn: () => get<{ config_versions?: ConfigVersion[] }>(endpointPath(name, `/config-versions${query({ max_results: LOOKED_AT })}`)),
    enabled: recent,
  })
  const before = list.data?.config_versions?.find(({ outcome, config_version: version }) => outcome === 'SUPERSEDED' && version < current)
  if (!recent || before === undefined) return null
  const version = before.config_version
  return (
    <div className="banner note back-to" role="status">
      <span>Version {current} serves since {ago(updated)}.</span>
      <button type="button" title={manages ? undefined : NEEDS_MANAGE} disabled={!manages} onClick={() => setOpen(true)}>Back to v{version}</button>
      {open && <Compare name={name} manages={manages} current={current} from={current} to={version} onClose={() => setOpen(false)} />}
    </div>
  )
}
