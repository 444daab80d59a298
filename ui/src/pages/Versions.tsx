import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { call, type ConfigVersion, type Difference, endpointPath } from '../api'
import { Failure, when } from '../kit'

interface Page { config_versions?: ConfigVersion[]; next_page_token?: string }

export function Versions({ name, manages, current }: {
  name: string
  manages: boolean
  current: number | undefined
}): ReactNode {
  const queries = useQueryClient()
  const [chosen, setChosen] = useState<number | null>(null)
  const list = useQuery({
    queryKey: ['endpoint', name, 'versions', current],
    queryFn: () => call<Page>('GET', endpointPath(name, '/config-versions')),
  })
  const comparable = chosen !== null && current !== undefined
  const compared = useQuery({
    queryKey: ['endpoint', name, 'compare', current, chosen],
    queryFn: () => call<{ differences?: Difference[] }>('GET',
      endpointPath(name, `/config-versions/${current}:compare?to_version=${chosen}`)),
    enabled: comparable,
  })
  const rollback = useMutation({
    mutationFn: () => call('POST', endpointPath(name, '/config:rollback'), { config_version: chosen }),
    onSuccess: () => { setChosen(null); void queries.invalidateQueries({ queryKey: ['endpoint', name] }) },
  })
  return (
    <section>
      <h2>Versions</h2>
      <Failure error={list.error ?? compared.error ?? rollback.error} />
      <div className="scroll" tabIndex={0} role="region" aria-label="Versions">
        <table>
          <thead><tr><th>Version</th><th>Outcome</th><th>Message</th><th>Creator</th><th>Created</th><th></th></tr></thead>
          <tbody>
            {(list.data?.config_versions ?? []).map((version) => (
              <tr key={version.config_version}>
                <td>{version.config_version}</td><td>{version.outcome}</td><td>{version.outcome_message}</td>
                <td>{version.creator}</td><td>{when(version.creation_timestamp)}</td>
                <td>{version.config_version !== current && current !== undefined && (
                  <button type="button" onClick={() => setChosen(version.config_version)}>Compare with {current}</button>
                )}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {list.data?.next_page_token && <p className="muted">The newest versions are shown.</p>}
      {comparable && compared.data && (
        <>
          <h3>From version {current} to {chosen}</h3>
          {(compared.data.differences ?? []).length === 0 && <p>Nothing differs.</p>}
          {(compared.data.differences ?? []).map((difference) => (
            <div className="difference" key={difference.path}>
              <code>{difference.path}</code>
              {difference.from_value !== undefined && <del>{difference.from_value}</del>}
              {difference.to_value !== undefined && <ins>{difference.to_value}</ins>}
            </div>
          ))}
          <p><button className="primary" type="button" title={manages ? undefined : 'It takes CAN_MANAGE'}
            disabled={!manages || rollback.isPending} onClick={() => rollback.mutate()}>Roll back to {chosen}</button></p>
        </>
      )}
    </section>
  )
}
