import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { type ApiRequest, ENDPOINTS, run } from '../api'
import { configOf, newDraft } from '../forms/draft'
import { gatewayDraft, newGatewayOf } from '../forms/gateway'
import { GatewayFields } from '../forms/GatewayFields'
import { Failure, Field, Head } from '../kit'
import { Snippets } from '../kit/Snippets'
import { go, useGuard } from '../kit/useAddress'
import { tagsOf } from '../tags'
import type { Endpoint } from '../types'
import { Entities } from './Entities'
import { Trial, useTrial } from './Trial'

/** @param asks Whether the new endpoint is asked next, in the playground. */
export function CreatePage({ asks = false }: { asks?: boolean }): ReactNode {
  const queries = useQueryClient()
  const [name, setName] = useState('')
  const [description, setDescription] = useState('')
  const [tags, setTags] = useState('')
  const [gateway, setGateway] = useState(() => gatewayDraft({ usage_tracking_config: { enabled: true } }))
  const [drafts, setDrafts] = useState([newDraft(1, 100)])
  const body: Record<string, unknown> = { name: name.trim(), config: configOf(drafts) }
  const settings = newGatewayOf(gateway)
  if (settings !== undefined) body.ai_gateway = settings
  if (tags.trim() !== '') body.tags = tagsOf(tags)
  if (description.trim() !== '') body.description = description.trim()
  const request: ApiRequest = { method: 'POST', path: ENDPOINTS, body }
  const create = useMutation({
    mutationFn: () => run<Endpoint>(request),
    onSuccess: (endpoint) => {
      void queries.invalidateQueries({ queryKey: ['endpoints'] })
      go(`${asks ? '/playground' : '/endpoints'}/${encodeURIComponent(endpoint.name)}`, { sure: true })
    },
  })
  const trial = useTrial({ create: body })
  const [empty] = useState(() => JSON.stringify(body))
  useGuard(JSON.stringify(body) !== empty)
  return (
    <>
      <Head crumbs={[['Serving endpoints', '/endpoints']]} title="Create serving endpoint" />
      <Failure error={create.error ?? trial.error} focused />
      <Trial title="What would be created" trial={trial} />
      <div className="beside">
        <form onSubmit={(event) => { event.preventDefault(); trial.reset(); create.mutate() }}>
          <Field label="Name" help="1 to 63 letters, digits, dashes and underscores. Callers query the endpoint by it.">
            <input required autoFocus autoComplete="off" spellCheck={false} maxLength={63} pattern="[A-Za-z0-9_\-]+"
              title="Letters, digits, dashes and underscores" value={name} onChange={(event) => setName(event.target.value)} />
          </Field>
          <Entities drafts={drafts} onChange={setDrafts} />
          <h2>AI Gateway</h2>
          <GatewayFields draft={gateway} onChange={setGateway} />
          <h2>More</h2>
          <div className="columns">
            <Field label="Description" required={false}><input value={description} onChange={(event) => setDescription(event.target.value)} /></Field>
            <Field label="Tags" required={false} help="key=value, with commas; at most 20.">
              <input autoComplete="off" placeholder="team=support, stage=test" value={tags} onChange={(event) => setTags(event.target.value)} />
            </Field>
          </div>
          <div className="form-foot">
            <Link className="button" href="/endpoints">Cancel</Link>
            <button type="button" disabled={trial.isPending} onClick={() => { create.reset(); trial.mutate() }}>Check</button>
            <button className="primary" type="submit" disabled={create.isPending}>{create.isPending ? 'Creating …' : 'Create'}</button>
          </div>
        </form>
        <aside className="request" aria-label="Request">
          <h2>Request</h2>
          <p className="muted">What <em>Create</em> sends.</p>
          <Snippets request={request} />
        </aside>
      </div>
    </>
  )
}
