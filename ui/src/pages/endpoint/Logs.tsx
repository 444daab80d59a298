import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { endpointPath, get } from '../../api'
import { Failure, Field, Loading } from '../../kit'

/** What a hosted model prints, and how its environment was built. */
export function Logs({ name, entities }: { name: string; entities: string[] }): ReactNode {
  const [entity, setEntity] = useState(entities[0] ?? '')
  const [kind, setKind] = useState('build-logs')
  const logs = useQuery({
    queryKey: ['logs', name, entity, kind],
    queryFn: () => get<{ logs?: string }>(endpointPath(name, `/served-models/${encodeURIComponent(entity)}/${kind}`)),
    refetchInterval: ({ state }) => (state.error === null ? 2000 : false),
  })
  return (
    <section>
      <div className="filters">
        <div className="segments" role="group" aria-label="Log">
          <button type="button" aria-pressed={kind === 'build-logs'} onClick={() => setKind('build-logs')}>Build</button>
          <button type="button" aria-pressed={kind === 'logs'} onClick={() => setKind('logs')}>Service</button>
        </div>
        {entities.length > 1 && (
          <Field label="Served entity"><select value={entity} onChange={(event) => setEntity(event.target.value)}>{entities.map((item) => <option key={item}>{item}</option>)}</select></Field>
        )}
      </div>
      <Failure error={logs.error} />
      {logs.isPending && !logs.error && <Loading />}
      {logs.data && <pre className="log" tabIndex={0} aria-label={`Log of ${entity}`}>{logs.data.logs || 'Nothing has been said yet.'}</pre>}
    </section>
  )
}
