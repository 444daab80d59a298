import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { changed } from '../../address'
import { endpointPath, get, HOST, query, queryPath, readText, run } from '../../api'
import { ago, count, duration, percent, short, when } from '../../format'
import { modelOf, shareOf, TASKS } from '../../entities'
import { Copy, Dialog, Empty, Failure, Field, NEEDS_MANAGE, Table } from '../../kit'
import { lazily } from '../../kit/Part'
import { DeploymentProgress } from '../../kit/Progress'
import { live, type Sample, samples } from '../../prometheus'
import { recentOf, recentQuery, type Series } from '../../series'
import { describeDeployment } from '../../state'
import type { Endpoint, EndpointConfig, ServedEntity } from '../../types'
import { tagsOf } from '../../tags'
import { OF_ONE } from '../usageAddress'
import { FailedUpdate } from './FailedUpdate'
import { Split } from './Split'

const Charts = lazily(() => import('./Charts').then((part) => part.Charts))

const RECENT_MS = 15_000

export function Overview({ endpoint, manages }: { endpoint: Endpoint; manages: boolean }): ReactNode {
  const metrics = useQuery({
    queryKey: ['metrics', endpoint.name],
    queryFn: async () => samples(await readText(endpointPath(endpoint.name, '/metrics'))),
    refetchInterval: 5000,
  })
  const { config, pending_config: pending, state } = endpoint
  return (
    <>
      {state?.config_update === 'UPDATE_FAILED'
        ? <FailedUpdate endpoint={endpoint} manages={manages} />
        : state?.config_update_message && <div className="banner danger" role="alert"><strong>Not all workers serve this.</strong> {state.config_update_message}</div>}
      <Facts endpoint={endpoint} manages={manages} />
      {pending && <Pending name={endpoint.name} config={pending} updating={state?.config_update === 'IN_PROGRESS'} />}
      {config?.served_entities?.length
        ? <><Active endpoint={endpoint} config={config} entities={config.served_entities} metrics={metrics.data ?? []} manages={manages} /><Charts endpoint={endpoint} /></>
        : !pending && (
          <Empty title="This endpoint has no configuration yet.">
            {manages && <Link className="button primary" href={`/endpoints/${encodeURIComponent(endpoint.name)}/edit`}>Add a served entity</Link>}
          </Empty>
        )}
    </>
  )
}

function Facts({ endpoint, manages }: { endpoint: Endpoint; manages: boolean }): ReactNode {
  const [editing, setEditing] = useState(false)
  const url = HOST + queryPath(endpoint.name)
  return (
    <dl className="facts">
      <div className="broad whole"><dt>URL</dt><dd><code>{url}</code> <Copy text={url} /></dd></div>
      <div><dt>Task</dt><dd>{TASKS[endpoint.task ?? ''] ?? endpoint.task ?? '–'}</dd></div>
      <div><dt>Type</dt><dd>{endpoint.endpoint_type ?? '–'}</dd></div>
      <div><dt>Creator</dt><dd>{endpoint.creator}</dd></div>
      <div><dt>Created</dt><dd>{when(endpoint.creation_timestamp)}</dd></div>
      <div><dt>Updated</dt><dd title={when(endpoint.last_updated_timestamp)}>{ago(endpoint.last_updated_timestamp)}</dd></div>
      <div><dt>Your permission</dt><dd>{endpoint.permission_level}</dd></div>
      <div className="broad"><dt>Identifier</dt><dd><code>{endpoint.id}</code></dd></div>
      {endpoint.description && <div className="broad"><dt>Description</dt><dd>{endpoint.description}</dd></div>}
      <div className="broad">
        <dt>Tags</dt>
        <dd>
          {(endpoint.tags ?? []).map(({ key, value }) => <span className="chip" key={key}>{value ? `${key}=${value}` : key}</span>)}
          <button type="button" className="small" title={manages ? undefined : NEEDS_MANAGE} disabled={!manages} onClick={() => setEditing(true)}>{endpoint.tags?.length ? 'Edit' : 'Add'}</button>
        </dd>
      </div>
      {editing && <EditTags endpoint={endpoint} onClose={() => setEditing(false)} />}
    </dl>
  )
}

function EditTags({ endpoint, onClose }: { endpoint: Endpoint; onClose: () => void }): ReactNode {
  const queries = useQueryClient()
  const before = endpoint.tags ?? []
  const [text, setText] = useState(before.map(({ key, value }) => (value ? `${key}=${value}` : key)).join(', '))
  const save = useMutation({
    mutationFn: () => {
      const after = tagsOf(text)
      const gone = before.map(({ key }) => key).filter((key) => !after.some((tag) => tag.key === key))
      return run({ method: 'PATCH', path: endpointPath(endpoint.name, '/tags'), body: { add_tags: after, delete_tags: gone } })
    },
    onSuccess: () => { void queries.invalidateQueries({ queryKey: ['endpoint', endpoint.name] }); onClose() },
  })
  return (
    <Dialog title="Tags" onClose={onClose}>
      <form onSubmit={(event) => { event.preventDefault(); save.mutate() }}>
        <Failure error={save.error} />
        <Field label="Tags" help="key=value, with commas; at most 20."><input autoFocus autoComplete="off" value={text} onChange={(event) => setText(event.target.value)} /></Field>
        <div className="dialog-foot">
          <button type="button" onClick={onClose}>Cancel</button>
          <button type="submit" className="primary" disabled={save.isPending}>Save</button>
        </div>
      </form>
    </Dialog>
  )
}

function scaleOf(entity: ServedEntity): string {
  if (entity.external_model) return ''
  const { min_provisioned_concurrency: least, max_provisioned_concurrency: most } = entity
  const { min_provisioned_throughput: slow = 0, max_provisioned_throughput: fast, provisioned_model_units: units } = entity
  const size = fast !== undefined ? `${slow} to ${fast} tokens/s`
    : units !== undefined ? `${units} model units`
    : most !== undefined ? `${least ?? 0} to ${most} concurrent`
    : entity.workload_size ?? ''
  return [entity.workload_type, size, entity.scale_to_zero_enabled ? 'scales to zero' : ''].filter(Boolean).join(' · ')
}

function Deployment({ entity }: { entity: ServedEntity }): ReactNode {
  const { text, look } = describeDeployment(entity.state?.deployment)
  return (
    <>
      <span className={`state ${look}`}>{text}</span>
      {entity.state?.progress
        ? <DeploymentProgress progress={entity.state.progress} />
        : entity.state?.deployment_state_message && <small className="under-cell">{entity.state.deployment_state_message}</small>}
    </>
  )
}

/** The configuration on its way, with how far each hosted model is. */
function Pending({ name, config, updating }: { name: string; config: EndpointConfig; updating: boolean }): ReactNode {
  return (
    <section className={`card ${updating ? 'progress' : ''}`}>
      <h2>{updating ? 'Being rolled out' : 'Not rolled out'}: version {config.config_version} <small className="muted">started {ago(config.start_time)}</small> <Link className="button small" href={`/endpoints/${encodeURIComponent(name)}/rollout`}>Worker by worker</Link></h2>
      {updating && <progress aria-label="Update in progress" />}
      <Table label="Entities of the new version" rows={config.served_entities ?? []} id={({ name }) => name} columns={[
        { title: 'Entity', cell: (entity) => <strong>{entity.name}</strong> },
        { title: 'Model', cell: (entity) => <><span>{modelOf(entity)}</span><small className="under-cell">{scaleOf(entity)}</small></> },
        { title: 'Share', number: true, cell: (entity) => `${shareOf(config, entity.name)} %` },
        { title: 'Deployment', cell: (entity) => <Deployment entity={entity} /> },
      ]} />
    </section>
  )
}

function Active({ endpoint, config, entities, metrics, manages }: {
  endpoint: Endpoint
  config: EndpointConfig
  entities: ServedEntity[]
  metrics: Sample[]
  manages: boolean
}): ReactNode {
  const series = useQuery({
    queryKey: ['series', endpoint.name, 'recent'],
    queryFn: () => get<Series>(endpointPath(endpoint.name, '/metrics-series') + query(recentQuery(Date.now()))),
    refetchInterval: RECENT_MS,
  })
  const recent = recentOf(series.data ?? { step_seconds: 60 }, series.dataUpdatedAt)
  const all = entities.reduce((sum, { name }) => sum + live(metrics, name).requests, 0)
  return (
    <section>
      <h2>Served entities <small className="muted">version {config.config_version}</small></h2>
      <Table label="Served entities" rows={entities} id={({ name }) => name} columns={[
        { title: 'Entity', cell: (entity) => <strong>{entity.name}</strong> },
        { title: 'Model', cell: (entity) => <><span>{modelOf(entity)}</span><small className="under-cell">{scaleOf(entity)}</small></> },
        { title: 'Share', number: true, cell: (entity) => <>{shareOf(config, entity.name)} %{all > 0 && <small className="under-cell">live {percent(live(metrics, entity.name).requests, all)}</small>}</> },
        { title: 'Requests/min', number: true, cell: ({ name }) => count(live(metrics, name).requests) },
        { title: 'Failed', number: true, cell: ({ name }) => { const { failed, requests } = live(metrics, name); return percent(failed, requests) } },
        { title: 'p95, 15 min', number: true, cell: ({ name }) => within(recent.get(name)?.within) },
        { title: 'Tokens/s, 15 min', number: true, cell: ({ name }) => rate(recent.get(name)?.tokensPerSecond) },
        { title: 'State', cell: (entity) => <Deployment entity={entity} /> },
        { title: '', cell: ({ name }) => <RequestsOf endpoint={endpoint.name} entity={name} manages={manages} /> },
      ]} />
      <Split key={config.config_version} endpoint={endpoint} entities={entities} manages={manages} />
    </section>
  )
}

const within = (time: number | null | undefined): string => (time == null ? '–' : `≤ ${duration(time)}`)
const rate = (value: number | null | undefined): string => (value == null ? '–' : value < 10 ? value.toFixed(1) : short(Math.round(value)))

/** Leads to the single requests that an entity answered. */
function RequestsOf({ endpoint, entity, manages }: { endpoint: string; entity: string; manages: boolean }): ReactNode {
  if (!manages) return <button type="button" className="small" disabled title={NEEDS_MANAGE}>Requests</button>
  const href = `/endpoints/${encodeURIComponent(endpoint)}/usage?${changed(OF_ONE, '', { served_entity: entity })}`
  return <Link className="button small" href={href} aria-label={`Requests of ${entity}`}>Requests</Link>
}
