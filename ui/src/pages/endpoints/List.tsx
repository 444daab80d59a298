import { type ReactNode, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { TASKS } from '../../entities'
import { ago, count, percent, short, when } from '../../format'
import { NEEDS_MANAGE, NEEDS_QUERY, type Order, State, Table } from '../../kit'
import { CopyDialog } from '../../kit/CopyAs'
import { Menu } from '../../kit/Menu'
import type { Endpoint } from '../../types'
import { DeleteEndpoint } from '../endpoint/DeleteEndpoint'
import { exampleRequest } from '../playground/examples'

const OPERATORS = 'The operator of the deployment decides on this endpoint'

export function List({ endpoints, order, onOrder }: {
  endpoints: Endpoint[]
  order: Order | null
  onOrder: (by: string) => void
}): ReactNode {
  const [copied, setCopied] = useState<Endpoint | null>(null)
  const [deleted, setDeleted] = useState<string | null>(null)
  return (
    <>
      <Table label="Serving endpoints" rows={endpoints} id={({ name }) => name} order={order} onOrder={onOrder} columns={[
        { title: 'Name', order: 'name', cell: ({ name, description }) => <Link className="strong" href={`/endpoints/${encodeURIComponent(name)}`} title={description}>{name}</Link> },
        { title: 'State', cell: (endpoint) => <State endpoint={endpoint} /> },
        { title: 'Served entities', cell: (endpoint) => <Entities endpoint={endpoint} /> },
        { title: 'Task', cell: ({ task }) => TASKS[task ?? ''] ?? task ?? '–' },
        { title: 'Req/min', number: true, cell: (endpoint) => <Requests endpoint={endpoint} /> },
        { title: 'Err %', number: true, cell: (endpoint) => <Errors endpoint={endpoint} /> },
        { title: 'Creator', order: 'creator', cell: ({ creator }) => creator },
        { title: 'Updated', narrow: true, order: 'last_updated_timestamp', cell: ({ last_updated_timestamp: time }) => <span title={when(time)}>{ago(time)}</span> },
        { title: '', narrow: true, cell: (endpoint) => <RowActions endpoint={endpoint} onCopy={() => setCopied(endpoint)} onDelete={() => setDeleted(endpoint.name)} /> },
      ]} />
      {copied && <CopyDialog request={exampleRequest(copied)} onClose={() => setCopied(null)} />}
      {deleted !== null && <DeleteEndpoint name={deleted} onClose={() => setDeleted(null)} />}
    </>
  )
}

function Entities({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const entities = endpoint.config?.served_entities ?? endpoint.pending_config?.served_entities ?? []
  if (entities.length === 0) return <span className="muted">–</span>
  return entities.map((entity) => (
    <span className="chip" key={entity.name} title={`${entity.name}: ${entity.external_model?.provider ?? 'hosted'}`}>
      {entity.external_model?.name ?? `${entity.entity_name} ${entity.entity_version ?? ''}`}
    </span>
  ))
}

function Requests({ endpoint: { recent } }: { endpoint: Endpoint }): ReactNode {
  const requests = Number(recent?.requests ?? 0)
  const going = Number(recent?.in_flight ?? 0)
  if (requests === 0 && going === 0) return <span className="muted">–</span>
  return <span title={`${count(requests)} calls ended within the last minute; ${count(going)} are being answered`}>{short(requests)}</span>
}

function Errors({ endpoint: { recent } }: { endpoint: Endpoint }): ReactNode {
  const requests = Number(recent?.requests ?? 0)
  if (requests === 0) return <span className="muted">–</span>
  const [client, server] = [Number(recent?.client_errors ?? 0), Number(recent?.server_errors ?? 0)]
  return <span className={server > 0 ? 'danger' : undefined} title={`${count(client)} with 4xx, ${count(server)} with 5xx`}>{percent(client + server, requests)}</span>
}

function RowActions({ endpoint, onCopy, onDelete }: { endpoint: Endpoint; onCopy: () => void; onDelete: () => void }): ReactNode {
  const [, navigate] = useLocation()
  const name = encodeURIComponent(endpoint.name)
  const own = endpoint.endpoint_type !== 'FOUNDATION_MODEL_API'
  const manages = endpoint.permission_level === 'CAN_MANAGE'
  const reason = !own ? OPERATORS : manages ? undefined : NEEDS_MANAGE
  const queries = endpoint.permission_level !== 'CAN_VIEW'
  return (
    <span className="row-actions">
      {queries
        ? <Link className="small button" href={`/playground/${name}`} aria-label={`Query ${endpoint.name}`}>Query</Link>
        : <button type="button" className="small" disabled title={NEEDS_QUERY} aria-label={`Query ${endpoint.name}`}>Query</button>}
      <Menu label={`Actions of ${endpoint.name}`} items={[
        { name: 'Query', reason: queries ? undefined : NEEDS_QUERY, onChoose: () => navigate(`/playground/${name}`) },
        { name: 'Copy as', onChoose: onCopy },
        { name: 'Edit configuration', reason, onChoose: () => navigate(`/endpoints/${name}/edit`) },
        { name: 'Permissions', reason, onChoose: () => navigate(`/endpoints/${name}/permissions`) },
        { name: 'Delete', reason, dangerous: true, onChoose: onDelete },
      ]} />
    </span>
  )
}
