import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { whole } from '../address'
import { type ApiRequest, endpointPath, get, run } from '../api'
import { configOf, draftsOf, type EntityDraft, newDraft } from '../forms/draft'
import { Failure, Head, Loading } from '../kit'
import { Snippets } from '../kit/Snippets'
import { go, useAddress, useGuard } from '../kit/useAddress'
import type { ConfigVersion, Endpoint, EndpointConfig } from '../types'
import { Entities } from './Entities'
import { Trial, useTrial } from './Trial'

// The version that the new one starts from; none: the one that serves.
const PARAMETERS = { from: whole }

/** A new version of an endpoint's configuration. */
export function EditPage({ name }: { name: string }): ReactNode {
  const [{ from }] = useAddress(PARAMETERS)
  const endpoint = useQuery({
    queryKey: ['endpoint', name],
    queryFn: () => get<Endpoint>(endpointPath(name)),
  })
  const past = useQuery({
    queryKey: ['endpoint', name, 'version', from],
    queryFn: () => get<ConfigVersion>(endpointPath(name, `/config-versions/${from}`)),
    enabled: from !== 0,
  })
  const ready = endpoint.data && (from === 0 || past.data)
  const error = endpoint.error ?? past.error
  const href = `/endpoints/${encodeURIComponent(name)}`
  return (
    <>
      <Head crumbs={[['Serving endpoints', '/endpoints'], [name, href]]} title="Edit configuration" />
      <Failure error={error} />
      {!ready && !error && <Loading />}
      {ready && <Form key={from} endpoint={endpoint.data} begin={past.data?.config ?? endpoint.data.config ?? endpoint.data.pending_config} href={href} />}
    </>
  )
}

function Form({ endpoint, begin, href }: { endpoint: Endpoint; begin: EndpointConfig | undefined; href: string }): ReactNode {
  const queries = useQueryClient()
  const [drafts, setDrafts] = useState<EntityDraft[]>(() => {
    const found = draftsOf(begin)
    return found.length === 0 ? [newDraft(1, 100)] : found
  })
  const request: ApiRequest = { method: 'PUT', path: endpointPath(endpoint.name, '/config'), body: configOf(drafts) }
  const update = useMutation({
    mutationFn: () => run(request),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ['endpoint', endpoint.name] })
      go(href, { sure: true })
    },
  })
  const trial = useTrial({ update: { name: endpoint.name, config: request.body } })
  const [before] = useState(() => JSON.stringify(request.body))
  useGuard(JSON.stringify(request.body) !== before)
  return (
    <>
      <Failure error={update.error ?? trial.error} focused />
      <Trial title="What would change" trial={trial} />
      <div className="beside">
        <form onSubmit={(event) => { event.preventDefault(); trial.reset(); update.mutate() }}>
          <p className="muted">The configuration that serves now goes on until every worker serves the new one.</p>
          <Entities drafts={drafts} onChange={setDrafts} />
          <div className="form-foot">
            <Link className="button" href={href}>Cancel</Link>
            <button type="button" disabled={trial.isPending} onClick={() => { update.reset(); trial.mutate() }}>Check</button>
            <button className="primary" type="submit" disabled={update.isPending}>{update.isPending ? 'Updating …' : 'Update'}</button>
          </div>
        </form>
        <aside className="request" aria-label="Request">
          <h2>Request</h2>
          <p className="muted">What <em>Update</em> sends.</p>
          <Snippets request={request} />
        </aside>
      </div>
    </>
  )
}
