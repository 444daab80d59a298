import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { type Endpoint, listEndpoints } from '../api'
import { Failure, State, when } from '../kit'

// More rows make the page slow; a search finds the others.
const SHOWN = 200

function matches(endpoint: Endpoint, text: string): boolean {
  const models = (endpoint.config?.served_entities ?? []).map(
    (entity) => entity.external_model?.name ?? entity.entity_name ?? '')
  return [endpoint.name, ...models].some((value) => value.toLowerCase().includes(text))
}

export function EndpointsPage(): ReactNode {
  const [search, setSearch] = useState('')
  const list = useQuery({ queryKey: ['endpoints'], queryFn: listEndpoints, refetchInterval: 10_000 })
  const all = list.data?.endpoints ?? []
  const found = all.filter((endpoint) => matches(endpoint, search.trim().toLowerCase()))
  return (
    <>
      <div className="head">
        <h1>Serving endpoints</h1>
        <Link className="button primary" href="/endpoints/new">Create serving endpoint</Link>
      </div>
      <Failure error={list.error} />
      <input type="search" aria-label="Search name or model" placeholder="Search name or model"
        value={search} onChange={(event) => setSearch(event.target.value)} />
      {list.isSuccess && all.length === 0 && <p className="empty">There are no endpoints yet. Create the first one.</p>}
      {all.length > 0 && found.length === 0 && (
        <p className="empty">None of {all.length} endpoints fits. <button type="button" onClick={() => setSearch('')}>Clear search</button></p>
      )}
      {found.length > 0 && (
        <div className="scroll" tabIndex={0} role="region" aria-label="Endpoints">
          <table>
            <thead><tr><th>Name</th><th>State</th><th>Served entities</th><th>Task</th><th>Creator</th><th>Updated</th></tr></thead>
            <tbody>
              {found.slice(0, SHOWN).map((endpoint) => (
                <tr key={endpoint.name}>
                  <td><Link href={`/endpoints/${encodeURIComponent(endpoint.name)}`}>{endpoint.name}</Link></td>
                  <td><State endpoint={endpoint} /></td>
                  <td>{(endpoint.config?.served_entities ?? []).map((entity) => entity.name).join(', ')}</td>
                  <td>{endpoint.task}</td><td>{endpoint.creator}</td><td>{when(endpoint.last_updated_timestamp)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {found.length > SHOWN && <p className="muted">{SHOWN} of {found.length} are shown; search for the others.</p>}
    </>
  )
}
