import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { type ApiRequest, get, query, run } from '../api'
import { ago, when } from '../format'
import { NewSecret } from '../forms/NewSecret'
import { Confirm, Empty, Failure, Field, Head, Loading, Table } from '../kit'
import { CopyAs } from '../kit/CopyAs'

interface Scope { name: string; backend_type: string }
interface Secret { key: string; last_updated_timestamp?: number }
interface Use { key: string; endpoint_name: string; config_version: number }
interface Acl { principal: string; permission: string }

const ROOT = '/api/2.0/secrets'

export function SecretsPage({ scope }: { scope: string }): ReactNode {
  const [, navigate] = useLocation()
  const [creating, setCreating] = useState(false)
  const scopes = useQuery({ queryKey: ['scopes'], queryFn: () => get<{ scopes?: Scope[] }>(`${ROOT}/scopes/list`) })
  const all = scopes.data?.scopes ?? []
  const chosen = all.find(({ name }) => name === scope)
  return (
    <>
      <Head title={scope === '' ? 'Secrets' : scope} {...(scope === '' ? {} : { crumbs: [['Secrets', '/secrets']] as [string, string][] })}>
        <button type="button" className="primary" onClick={() => setCreating(true)}>Store a secret</button>
      </Head>
      <Failure error={scopes.error} />
      {scopes.isPending && !scopes.error && <Loading />}
      {scopes.data && scope === '' && <Scopes scopes={all} />}
      {scopes.data && scope !== '' && (chosen ? <Inside scope={chosen} /> : <Empty title="There is no such scope, or you may not see it."><Link href="/secrets">All scopes</Link></Empty>)}
      {creating && <NewSecret scope={scope} onClose={() => setCreating(false)} onCreated={(reference) => navigate(`/secrets/${encodeURIComponent(reference.split('/')[0] ?? '')}`)} />}
    </>
  )
}

function Scopes({ scopes }: { scopes: Scope[] }): ReactNode {
  if (scopes.length === 0) {
    return <Empty title="There are no secrets yet, or none that you may see."><p>Keys of providers are stored here, sealed, and endpoints refer to them as <code>{'{{secrets/scope/key}}'}</code>.</p></Empty>
  }
  return (
    <>
      <p className="muted">Values are write-only. Endpoints refer to them as <code>{'{{secrets/scope/key}}'}</code>.</p>
      <Table label="Scopes" rows={scopes} id={({ name }) => name} columns={[
        { title: 'Scope', cell: ({ name }) => <Link className="strong" href={`/secrets/${encodeURIComponent(name)}`}>{name}</Link> },
        { title: 'Kept in', cell: ({ backend_type: kind }) => (kind === 'DATABRICKS' ? 'this deployment' : kind) },
      ]} />
    </>
  )
}

function Inside({ scope }: { scope: Scope }): ReactNode {
  const [, navigate] = useLocation()
  const queries = useQueryClient()
  const [removing, setRemoving] = useState<string | null>(null)
  const [deleting, setDeleting] = useState(false)
  const keys = useQuery({ queryKey: ['keys', scope.name], queryFn: () => get<{ secrets?: Secret[] }>(`${ROOT}/list${query({ scope: scope.name })}`) })
  const remove = useMutation({
    mutationFn: (key: string) => run(deletion(scope.name, key)),
    onSuccess: () => { setRemoving(null); void queries.invalidateQueries({ queryKey: ['keys', scope.name] }) },
  })
  const dropping: ApiRequest = { method: 'POST', path: `${ROOT}/scopes/delete`, body: { scope: scope.name } }
  const drop = useMutation({
    mutationFn: () => run(dropping),
    onSuccess: () => { navigate('/secrets'); void queries.invalidateQueries({ queryKey: ['scopes'] }) },
  })
  const uses = useQuery({
    queryKey: ['keys', scope.name, 'uses'],
    queryFn: () => get<{ uses?: Use[]; other_uses?: number }>(`${ROOT}/uses${query({ scope: scope.name })}`),
  })
  const secrets = keys.data?.secrets ?? []
  const others = uses.data?.other_uses ?? 0
  return (
    <>
      <Failure error={keys.error} />
      <div className="card-head"><h2>Secrets</h2><button type="button" onClick={() => setDeleting(true)}>Delete scope</button></div>
      {keys.data && secrets.length === 0 && <Empty title="This scope is empty." />}
      {secrets.length > 0 && (
        <Table label="Secrets" rows={secrets} id={({ key }) => key} columns={[
          { title: 'Key', cell: ({ key }) => <strong>{key}</strong> },
          { title: 'Reference', cell: ({ key }) => <code>{`{{secrets/${scope.name}/${key}}}`}</code> },
          { title: 'Used by', cell: ({ key }) => <Users names={(uses.data?.uses ?? []).filter((use) => use.key === key).map((use) => use.endpoint_name)} /> },
          { title: 'Changed', cell: ({ last_updated_timestamp: time }) => <span title={when(time)}>{ago(time)}</span> },
          { title: '', narrow: true, cell: ({ key }) => <button type="button" className="small" aria-label={`Delete ${key}`} onClick={() => setRemoving(key)}>Delete</button> },
        ]} />
      )}
      <Failure error={uses.error} />
      {others > 0 && <p className="muted">{others} more {others === 1 ? 'use is' : 'uses are'} not shown here: of endpoints that you may not see, or beyond the first thousand.</p>}
      <Acls scope={scope.name} />
      {removing !== null && (
        <Confirm title="Delete this secret?" action="Delete" request={deletion(scope.name, removing)} error={remove.error} busy={remove.isPending} onConfirm={() => remove.mutate(removing)} onClose={() => setRemoving(null)}>
          <p>The value of <strong>{removing}</strong> is gone then. One that an endpoint uses is not deleted.</p>
        </Confirm>
      )}
      {deleting && (
        <Confirm title="Delete this scope?" action="Delete" request={dropping} name={scope.name} error={drop.error} busy={drop.isPending} onConfirm={() => drop.mutate()} onClose={() => setDeleting(false)}>
          <p>All secrets in <strong>{scope.name}</strong> are gone then.</p>
        </Confirm>
      )}
    </>
  )
}

const deletion = (scope: string, key: string): ApiRequest => ({ method: 'POST', path: `${ROOT}/delete`, body: { scope, key } })

const SHOWN_USERS = 5

/** The endpoints that refer to a secret; of many, the first ones and how many more. */
function Users({ names }: { names: string[] }): ReactNode {
  const all = [...new Set(names)]
  if (all.length === 0) return <span className="muted">–</span>
  return (
    <>
      {all.slice(0, SHOWN_USERS).map((name) => <Link className="chip" key={name} href={`/endpoints/${encodeURIComponent(name)}`}>{name}</Link>)}
      {all.length > SHOWN_USERS && <span className="muted">and {all.length - SHOWN_USERS} more</span>}
    </>
  )
}

const PERMISSIONS = ['READ', 'WRITE', 'MANAGE']

function Acls({ scope }: { scope: string }): ReactNode {
  const queries = useQueryClient()
  const [principal, setPrincipal] = useState('')
  const [permission, setPermission] = useState('READ')
  const list = useQuery({ queryKey: ['acls', scope], queryFn: () => get<{ items?: Acl[] }>(`${ROOT}/acls/list${query({ scope })}`) })
  const granting = (acl: Acl): ApiRequest => ({ method: 'POST', path: `${ROOT}/acls/put`, body: { scope, ...acl } })
  const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['acls', scope] }) }
  const put = useMutation({
    mutationFn: (acl: Acl) => run(granting(acl)),
    onSuccess: () => setPrincipal(''),
    ...settled,
  })
  const remove = useMutation({
    mutationFn: (name: string) => run({ method: 'POST', path: `${ROOT}/acls/delete`, body: { scope, principal: name } }),
    ...settled,
  })
  const items = list.data?.items ?? []
  return (
    <section>
      <h2>Who may use it</h2>
      <Failure error={list.error ?? put.error ?? remove.error} />
      {items.length > 0 && (
        <Table label="Access" rows={items} id={(item) => item.principal} columns={[
          { title: 'Who', cell: (item) => <strong>{item.principal}</strong> },
          {
            title: 'Permission',
            cell: (item) => (
              <select aria-label={`Permission of ${item.principal}`} value={item.permission} disabled={put.isPending} onChange={(event) => put.mutate({ principal: item.principal, permission: event.target.value })}>
                {PERMISSIONS.map((name) => <option key={name}>{name}</option>)}
              </select>
            ),
          },
          { title: '', narrow: true, cell: (item) => <button type="button" className="small" aria-label={`Remove ${item.principal}`} onClick={() => remove.mutate(item.principal)}>Remove</button> },
        ]} />
      )}
      {list.data && items.length === 0 && <p className="muted">Administrators alone.</p>}
      {!list.error && (
        <form className="inline" onSubmit={(event) => { event.preventDefault(); put.mutate({ principal: principal.trim(), permission }) }}>
          <Field label="User, group or application id"><input required autoComplete="off" value={principal} onChange={(event) => setPrincipal(event.target.value)} /></Field>
          <Field label="Permission"><select value={permission} onChange={(event) => setPermission(event.target.value)}>{PERMISSIONS.map((name) => <option key={name}>{name}</option>)}</select></Field>
          <button type="submit" className="primary" disabled={put.isPending}>Grant</button>
          <CopyAs request={granting({ principal: principal.trim(), permission })} />
        </form>
      )}
    </section>
  )
}
