import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { whole } from '../../address'
import { ApiError, endpointPath, get, run } from '../../api'
import { Empty, Failure, Head, Loading, NEEDS_MANAGE, NEEDS_QUERY, State, Tabs } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { lazily } from '../../kit/Part'
import { useLive } from '../../live'
import type { Endpoint, Rollout } from '../../types'
import { has } from '../../waterfall'
import { BackTo } from './BackTo'
import { DeleteEndpoint } from './DeleteEndpoint'
import { exampleRequest } from '../playground/examples'
import { Overview } from './Overview'

// What one begins with comes with the page; the others are loaded when they are first shown.
const Gateway = lazily(() => import('./Gateway').then((part) => part.Gateway), true)
const Guardrails = lazily(() => import('./guardrails').then((part) => part.Guardrails), true)
const Logs = lazily(() => import('./Logs').then((part) => part.Logs), true)
const Permissions = lazily(() => import('./Permissions').then((part) => part.Permissions), true)
const RolloutPage = lazily(() => import('./Rollout').then((part) => part.RolloutPage), true)
const EndpointUsage = lazily(() => import('../Usage').then((part) => part.EndpointUsage), true)
const Versions = lazily(() => import('./Versions').then((part) => part.Versions), true)

// A deployment that cannot be reached is asked again, but not one that has said no.
const gone = (error: unknown): boolean => error instanceof ApiError && error.status >= 400 && error.status < 500

export function EndpointPage({ name, tab, item }: { name: string; tab: string; item: string | undefined }): ReactNode {
  const live = useLive()
  const endpoint = useQuery({
    queryKey: ['endpoint', name],
    queryFn: () => get<Endpoint>(endpointPath(name)),
    refetchInterval: ({ state }) => (gone(state.error) ? false : pauseOf(state.data, live)),
  })
  if (endpoint.error instanceof ApiError && endpoint.error.status === 404) {
    return (
      <>
        <Head crumbs={[['Serving endpoints', '/endpoints']]} title={name} />
        <Empty title="There is no endpoint of this name, or you may not see it."><Link href="/endpoints">All endpoints</Link></Empty>
      </>
    )
  }
  return (
    <>
      <Head crumbs={[['Serving endpoints', '/endpoints']]} title={name} after={endpoint.data && <After endpoint={endpoint.data} />}>
        {endpoint.data && <Actions endpoint={endpoint.data} />}
      </Head>
      <Failure error={endpoint.error} />
      {endpoint.isPending && !endpoint.error && <Loading />}
      {endpoint.data && <Body endpoint={endpoint.data} tab={tab} item={item} />}
    </>
  )
}

/** After which time an endpoint is read again, in milliseconds. */
function pauseOf(endpoint: Endpoint | undefined, live: boolean): number {
  const updating = endpoint?.state?.config_update === 'IN_PROGRESS'
  // How far a hosted model has come is no change that is told.
  const progresses = updating && (endpoint.pending_config?.served_entities ?? []).some((entity) => !entity.external_model)
  if (live) return progresses ? 1000 : 30_000
  return updating ? 1000 : 5000
}

function After({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const version = endpoint.config?.config_version
  return <><State endpoint={endpoint} />{version !== undefined && <span className="chip">version {version}</span>}<Reached endpoint={endpoint} /></>
}

const GOING_MS = 500

/** How many workers are ready for a version that is on its way. */
function Reached({ endpoint: { name, state, pending_config: pending } }: { endpoint: Endpoint }): ReactNode {
  const version = pending?.config_version
  const going = state?.config_update === 'IN_PROGRESS' && version !== undefined
  const rollout = useQuery({
    queryKey: ['endpoint', name, 'rollout', version],
    queryFn: () => get<Rollout>(endpointPath(name, `/config-versions/${version}/rollout`)),
    enabled: going,
    refetchInterval: ({ state: { error } }) => (error === null ? GOING_MS : false),
  })
  const workers = rollout.data?.workers ?? []
  if (!going || workers.length === 0) return null
  return <span className="muted" role="status">{has('PREPARED', workers) + has('ACTIVE', workers)} of {workers.length} workers</span>
}

function Body({ endpoint, tab, item }: { endpoint: Endpoint; tab: string; item: string | undefined }): ReactNode {
  const base = `/endpoints/${encodeURIComponent(endpoint.name)}`
  const manages = endpoint.permission_level === 'CAN_MANAGE'
  const hosted = entitiesOf(endpoint).some((entity) => !entity.external_model)
  const reason = manages ? undefined : NEEDS_MANAGE
  const tabs: [string, string, string, string?][] = [
    ['overview', 'Overview', base],
    ['rollout', 'Rollout', `${base}/rollout`],
    ['versions', 'Versions', `${base}/versions`],
    ['gateway', 'AI Gateway', `${base}/gateway`],
    ['guardrails', 'Guardrails', `${base}/guardrails`],
    ['usage', 'Usage', `${base}/usage`, reason],
    ['permissions', 'Permissions', `${base}/permissions`, reason],
    ...(hosted ? [['logs', 'Logs', `${base}/logs`, reason] as [string, string, string, string?]] : []),
  ]
  const newest = endpoint.pending_config?.config_version ?? endpoint.config?.config_version
  const current = tabs.find(([id, , , closed]) => id === tab && closed === undefined)?.[1] ?? 'Overview'
  return (
    <>
      <Tabs tabs={tabs.map(([, title, href, closed]) => [title, href, closed])} current={current} />
      {(current === 'Overview' || current === 'Versions') && <BackTo endpoint={endpoint} manages={manages} />}
      {current === 'Overview' && <Overview endpoint={endpoint} manages={manages} />}
      {current === 'Rollout' && <RolloutPage name={endpoint.name} version={whole.read(item ?? '') ?? newest} />}
      {current === 'Versions' && <Versions name={endpoint.name} manages={manages} current={endpoint.config?.config_version} />}
      {current === 'AI Gateway' && <Gateway endpoint={endpoint} manages={manages} />}
      {current === 'Guardrails' && <Guardrails endpoint={endpoint} manages={manages} />}
      {current === 'Usage' && <EndpointUsage name={endpoint.name} tracked={endpoint.ai_gateway?.usage_tracking_config?.enabled === true} />}
      {current === 'Permissions' && <Permissions id={endpoint.id ?? ''} creator={endpoint.creator ?? ''} />}
      {current === 'Logs' && <Logs name={endpoint.name} entities={entitiesOf(endpoint).filter((entity) => !entity.external_model).map((entity) => entity.name)} />}
    </>
  )
}

function entitiesOf(endpoint: Endpoint): NonNullable<NonNullable<Endpoint['config']>['served_entities']> {
  const all = [...(endpoint.config?.served_entities ?? []), ...(endpoint.pending_config?.served_entities ?? [])]
  return all.filter((entity, place) => all.findIndex(({ name }) => name === entity.name) === place)
}

function Actions({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const queries = useQueryClient()
  const [deleting, setDeleting] = useState(false)
  const { name } = endpoint
  const manages = endpoint.permission_level === 'CAN_MANAGE'
  const updating = endpoint.state?.config_update === 'IN_PROGRESS'
  const reason = manages ? undefined : NEEDS_MANAGE
  const act = useMutation({
    mutationFn: (verb: string) => run({ method: 'POST', path: endpointPath(name, `/config:${verb}`), body: {} }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['endpoint', name] }),
  })
  const deployments = (endpoint.config?.served_entities ?? []).filter((entity) => !entity.external_model).map(({ state }) => state?.deployment)
  const stopped = deployments.some((deployment) => deployment === 'DEPLOYMENT_STOPPED')
  return (
    <>
      {act.error && <Failure error={act.error} />}
      {endpoint.permission_level === 'CAN_VIEW'
        ? <button type="button" disabled title={NEEDS_QUERY}>Query</button>
        : <Link className="button" href={`/playground/${encodeURIComponent(name)}`}>Query</Link>}
      <CopyAs request={exampleRequest(endpoint)} />
      {deployments.length > 0 && (
        <button type="button" title={reason} disabled={!manages || updating || act.isPending} onClick={() => act.mutate(stopped ? 'start' : 'stop')}>{stopped ? 'Start' : 'Stop'}</button>
      )}
      <button type="button" title={reason} disabled={!manages} onClick={() => setDeleting(true)}>Delete</button>
      {updating
        ? <button type="button" className="primary" title={reason} disabled={!manages || act.isPending} onClick={() => act.mutate('cancel')}>Cancel update</button>
        : manages
          ? <Link className="button primary" href={`/endpoints/${encodeURIComponent(name)}/edit`}>Edit configuration</Link>
          : <button type="button" disabled title={reason}>Edit configuration</button>}
      {deleting && <DeleteEndpoint name={name} onClose={() => setDeleting(false)} />}
    </>
  )
}
