import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type ApiRequest, run } from '../../api'
import { Confirm, Dialog, Empty, Failure, Field, Loading, Table } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { useMe } from '../../me'
import { useSettled } from '../../settled'
import { TokenDialog } from '../Account'
import { ClientSecrets } from './ClientSecrets'
import { Pager } from './Pager'
import { containing, type Resource, SCIM, useListed, useScim } from './scim'

type Kind = 'Users' | 'ServicePrincipals'

/** Users or service principals. */
export function Principals({ kind }: { kind: Kind }): ReactNode {
  const queries = useQueryClient()
  const me = useMe()
  const { search, type, start, turn } = useListed()
  const [creating, setCreating] = useState(false)
  const [removing, setRemoving] = useState<Resource | null>(null)
  const [secretsOf, setSecretsOf] = useState<Resource | null>(null)
  const [tokenFor, setTokenFor] = useState<Resource | null>(null)
  const users = kind === 'Users'
  const list = useScim(kind, containing(users ? 'userName' : 'displayName', useSettled(search)), start)
  const deletion = ({ id }: Resource): ApiRequest => ({ method: 'DELETE', path: `${SCIM}/${kind}/${id}` })
  const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['scim'] }) }
  const activate = useMutation({
    mutationFn: (item: Resource) => run({
      method: 'PATCH', path: `${SCIM}/${kind}/${item.id}`,
      body: { schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [{ op: 'replace', path: 'active', value: !item.active }] },
    }),
    ...settled,
  })
  const remove = useMutation({
    mutationFn: (item: Resource) => run(deletion(item)),
    onSuccess: () => setRemoving(null),
    ...settled,
  })
  const found = list.data?.Resources ?? []
  const what = users ? 'user' : 'service principal'
  return (
    <section>
      <div className="filters">
        <input type="search" aria-label="Search" placeholder={users ? 'A part of the user name' : 'A part of the name'} maxLength={256} value={search} onChange={(event) => type(event.target.value)} />
        <span className="grow" />
        <button type="button" className="primary" onClick={() => setCreating(true)}>Create {what}</button>
      </div>
      <Failure error={list.error ?? activate.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data?.totalResults === 0 && <Empty title={search === '' ? `There is no ${what} yet.` : `No ${what} matches.`} />}
      {found.length > 0 && (
        <Table label={users ? 'Users' : 'Service principals'} rows={found} id={({ id }) => id} columns={[
          { title: 'Name', long: true, cell: (item) => <strong>{nameOf(item)}</strong> },
          { title: users ? 'Display name' : 'Application id', cell: (item) => (users ? item.displayName : <code>{item.applicationId}</code>) },
          { title: 'State', cell: (item) => <span className={`state ${item.active === false ? 'muted' : 'success'}`}>{item.active === false ? 'Inactive' : 'Active'}</span> },
          { title: 'Groups', cell: (item) => (item.groups ?? []).map(({ value, display }) => <span className="chip" key={value}>{display}</span>) },
          {
            title: '',
            narrow: true,
            cell: (item) => (
              <span className="row-actions">
                <button type="button" className="small" aria-label={`Token for ${nameOf(item)}`} onClick={() => setTokenFor(item)}>Token</button>
                {!users && <button type="button" className="small" aria-label={`Client secrets of ${nameOf(item)}`} onClick={() => setSecretsOf(item)}>Secrets</button>}
                <button type="button" className="small" aria-label={`${item.active === false ? 'Activate' : 'Deactivate'} ${nameOf(item)}`} disabled={item.id === me.id || activate.isPending} onClick={() => activate.mutate(item)}>{item.active === false ? 'Activate' : 'Deactivate'}</button>
                <button type="button" className="small" aria-label={`Delete ${nameOf(item)}`} disabled={item.id === me.id} onClick={() => setRemoving(item)}>Delete</button>
              </span>
            ),
          },
        ]} />
      )}
      {list.data && list.data.totalResults > 0 && <Pager start={start} total={list.data.totalResults} onStart={turn} />}
      {creating && <Create kind={kind} onClose={() => setCreating(false)} />}
      {secretsOf && <ClientSecrets id={secretsOf.id} name={nameOf(secretsOf)} onClose={() => setSecretsOf(null)} />}
      {tokenFor && <OnBehalf name={tokenFor.applicationId ?? tokenFor.userName ?? ''} shown={nameOf(tokenFor)} onClose={() => setTokenFor(null)} />}
      {removing && (
        <Confirm title={`Delete this ${what}?`} action="Delete" request={deletion(removing)} name={nameOf(removing)} error={remove.error} busy={remove.isPending} onConfirm={() => remove.mutate(removing)} onClose={() => setRemoving(null)}>
          <p>The tokens and the grants of <strong>{nameOf(removing)}</strong> go with it. Endpoints that it created stay.</p>
        </Confirm>
      )}
    </section>
  )
}

function nameOf(item: Resource): string {
  return item.userName ?? item.displayName ?? item.applicationId ?? item.id
}

function Create({ kind, onClose }: { kind: Kind; onClose: () => void }): ReactNode {
  const queries = useQueryClient()
  const [name, setName] = useState('')
  const [display, setDisplay] = useState('')
  const users = kind === 'Users'
  const request: ApiRequest = {
    method: 'POST', path: `${SCIM}/${kind}`,
    body: users ? { userName: name.trim(), ...(display === '' ? {} : { displayName: display }) } : { displayName: name.trim() },
  }
  const create = useMutation({
    mutationFn: () => run(request),
    onSuccess: () => { void queries.invalidateQueries({ queryKey: ['scim'] }); onClose() },
  })
  return (
    <Dialog title={users ? 'Create user' : 'Create service principal'} onClose={onClose}>
      <form onSubmit={(event) => { event.preventDefault(); create.mutate() }}>
        <Failure error={create.error} />
        <Field label={users ? 'User name' : 'Name'} help={users ? 'An email address, as a rule.' : undefined}><input required autoFocus autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} /></Field>
        {users && <Field label="Display name" required={false}><input autoComplete="off" value={display} onChange={(event) => setDisplay(event.target.value)} /></Field>}
        <div className="dialog-foot"><CopyAs request={request} /><button type="button" onClick={onClose}>Cancel</button><button type="submit" className="primary" disabled={create.isPending}>Create</button></div>
      </form>
    </Dialog>
  )
}

function OnBehalf({ name, shown, onClose }: { name: string; shown: string; onClose: () => void }): ReactNode {
  const [comment, setComment] = useState('')
  const [days, setDays] = useState('90')
  const request: ApiRequest = {
    method: 'POST', path: '/api/2.0/token-management/on-behalf-of/tokens',
    body: { application_id: name, comment, ...(days === '' ? {} : { lifetime_seconds: Number(days) * 86_400 }) },
  }
  const create = useMutation({ mutationFn: () => run<{ token_value: string }>(request) })
  return (
    <TokenDialog title={`Access token for ${shown}`} value={create.data?.token_value} request={request} error={create.error} busy={create.isPending} onSubmit={() => create.mutate()} onClose={onClose}>
      <Field label="What it is for"><input required autoFocus autoComplete="off" maxLength={1024} value={comment} onChange={(event) => setComment(event.target.value)} /></Field>
      <Field label="Days until it expires" help="Empty: never."><input type="number" min={1} value={days} onChange={(event) => setDays(event.target.value)} /></Field>
    </TokenDialog>
  )
}
