import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { endpointPath, get, query, run } from '../../api'
import { Failure, NEEDS_MANAGE } from '../../kit'
import type { ConfigVersion, Endpoint } from '../../types'

/** Why the last update failed, and what can be done about it. */
export function FailedUpdate({ endpoint, manages }: { endpoint: Endpoint; manages: boolean }): ReactNode {
  const queries = useQueryClient()
  const { name, state } = endpoint
  const current = endpoint.config?.config_version
  const newest = useQuery({
    queryKey: ['endpoint', name, 'versions', 'newest'],
    queryFn: () => get<{ config_versions?: ConfigVersion[] }>(endpointPath(name, `/config-versions${query({ max_results: 1 })}`)),
  })
  const [version] = newest.data?.config_versions ?? []
  const failed = version?.outcome === 'FAILED' ? version.config_version : undefined
  const discard = useMutation({
    mutationFn: () => run({ method: 'POST', path: endpointPath(name, '/config:rollback'), body: { config_version: current } }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['endpoint', name] }),
  })
  const base = `/endpoints/${encodeURIComponent(name)}`
  const reason = manages ? undefined : NEEDS_MANAGE
  return (
    <div className="banner danger" role="alert">
      <strong>The last update failed.</strong> {state?.config_update_message}
      <Failure error={discard.error} />
      {failed !== undefined && (
        <div className="banner-actions">
          {current !== undefined && <Link className="button small" href={`${base}/versions?a=${current}&b=${failed}`}>Compare</Link>}
          {manages
            ? <Link className="button small" href={`${base}/edit?from=${failed}`}>Edit and retry</Link>
            : <button type="button" className="small" disabled title={reason}>Edit and retry</button>}
          {current !== undefined && (
            <button type="button" className="small" disabled={!manages || discard.isPending} title={reason ?? `Keeps what version ${current} serves, as a new version`} onClick={() => discard.mutate()}>Discard</button>
          )}
        </div>
      )}
    </div>
  )
}
