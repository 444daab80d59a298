import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { call, type Endpoint, endpointPath } from '../api'
import { Failure } from '../kit'
import { setShare } from '../split'

export function Split({ endpoint, manages, onApplied }: {
  endpoint: Endpoint
  manages: boolean
  onApplied: () => void
}): ReactNode {
  const [draft, setDraft] = useState<number[] | null>(null)
  const entities = endpoint.config?.served_entities ?? []
  const routes = endpoint.config?.traffic_config?.routes ?? []
  const live = entities.map(({ name }) =>
    routes.find((route) => (route.served_entity_name ?? route.served_model_name) === name)?.traffic_percentage ?? 0)
  const shares = draft?.length === entities.length ? draft : live
  const apply = useMutation({
    mutationFn: () =>
      call('PUT', endpointPath(endpoint.name, '/config'), {
        traffic_config: {
          routes: entities.map(({ name }, index) => ({ served_model_name: name, traffic_percentage: shares[index] ?? 0 })),
        },
      }),
    onSuccess: () => { setDraft(null); onApplied() },
  })
  if (entities.length === 0) return <p className="empty">This endpoint has no active configuration yet.</p>
  const editable = manages && entities.length > 1
  return (
    <section>
      <h2>Served entities <small className="muted">version {endpoint.config?.config_version}</small></h2>
      <Failure error={apply.error} />
      <div className="scroll" tabIndex={0} role="region" aria-label="Served entities">
        <table>
          <thead><tr><th>Name</th><th className="number">Share</th><th>Traffic</th><th>Model</th><th>State</th></tr></thead>
          <tbody>
            {entities.map((entity, index) => (
              <tr key={entity.name}>
                <td>{entity.name}</td>
                <td className="number">{shares[index]} %</td>
                <td><input type="range" min={0} max={100} disabled={!editable} aria-label={`Share of ${entity.name} in percent`}
                  value={shares[index] ?? 0} onChange={(event) => setDraft(setShare(shares, index, event.target.valueAsNumber))} /></td>
                <td>{entity.external_model ? `${entity.external_model.provider} ${entity.external_model.name}` : `${entity.entity_name ?? ''} ${entity.entity_version ?? ''}`}</td>
                <td>{entity.state?.deployment} {entity.state?.deployment_state_message}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {draft !== null && (
        <p>
          <button className="primary" type="button" disabled={apply.isPending} onClick={() => apply.mutate()}>Apply split</button>{' '}
          <button type="button" onClick={() => setDraft(null)}>Discard</button>
        </p>
      )}
    </section>
  )
}
