import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { type ApiRequest, ENDPOINTS, endpointPath, get, run } from '../api'
import { configOf, draftsOf, type EntityDraft, newDraft } from '../forms/draft'
import { Dialog, Failure, Head, Loading } from '../kit'
import { Snippets } from '../kit/Snippets'
import { Differences } from '../kit/Differences'
import type { Difference, Endpoint } from '../types'
import { Entities } from './Entities'

/** A new version of an endpoint's configuration, which starts from the one that serves. */
export function EditPage({ name }: { name: string }): ReactNode {
  const endpoint = useQuery({
    queryKey: ['endpoint', name],
    queryFn: () => get<Endpoint>(endpointPath(name)),
  })
  const href = `/endpoints/${encodeURIComponent(name)}`
  return (
    <>
      <Head crumbs={[['Serving endpoints', '/endpoints'], [name, href]]} title="Edit configuration" />
      <Failure error={endpoint.error} />
      {endpoint.isPending && !endpoint.error && <Loading />}
      {endpoint.data && <Form endpoint={endpoint.data} href={href} />}
    </>
  )
}

function Form({ endpoint, href }: { endpoint: Endpoint; href: string }): ReactNode {
  const [, navigate] = useLocation()
  const queries = useQueryClient()
  const [drafts, setDrafts] = useState<EntityDraft[]>(() => {
    const found = draftsOf(endpoint.config ?? endpoint.pending_config)
    return found.length === 0 ? [newDraft(1, 100)] : found
  })
  const request: ApiRequest = { method: 'PUT', path: endpointPath(endpoint.name, '/config'), body: configOf(drafts) }
  const update = useMutation({
    mutationFn: () => run(request),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ['endpoint', endpoint.name] })
      navigate(href)
    },
    onError: () => window.scrollTo({ top: 0 }),
  })
  const trial = useMutation({
    mutationFn: () => run<{ differences?: Difference[] }>({
      method: 'POST', path: `${ENDPOINTS}:validate`, body: { update: { name: endpoint.name, config: request.body } },
    }),
    onError: () => window.scrollTo({ top: 0 }),
  })
  return (
    <>
      <Failure error={update.error ?? trial.error} />
      {trial.data && (
        <Dialog title="What would change" wide onClose={trial.reset}>
          <Differences differences={trial.data.differences ?? []} />
        </Dialog>
      )}
      <div className="beside">
        <form onSubmit={(event) => { event.preventDefault(); update.mutate() }}>
          <p className="muted">The configuration that serves now goes on until every worker serves the new one.</p>
          <Entities drafts={drafts} onChange={setDrafts} />
          <div className="form-foot">
            <Link className="button" href={href}>Cancel</Link>
            <button type="button" disabled={trial.isPending} onClick={() => trial.mutate()}>Check</button>
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
