import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useId, useState } from 'react'
import { type ApiRequest, get, query, run } from '../../api'
import { Confirm, Dialog, Empty, Failure, Field, Loading, Table } from '../../kit'
import { useSettled } from '../../settled'
import { CopyAs } from '../../kit/CopyAs'
import { Pager } from './Pager'
import { containing, equal, type Listed, type Resource, SCIM, useListed, useScim } from './scim'

const PATCH = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'
// Those that every deployment has.
const BUILT_IN = ['admins', 'users']

export function Groups(): ReactNode {
  const queries = useQueryClient()
  const { search, type, start, turn } = useListed()
  const [name, setName] = useState('')
  const [open, setOpen] = useState<string | null>(null)
  const [removing, setRemoving] = useState<Resource | null>(null)
  const list = useScim('Groups', containing('displayName', useSettled(search)), start)
  const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['scim'] }) }
  const creating: ApiRequest = { method: 'POST', path: `${SCIM}/Groups`, body: { displayName: name.trim() } }
  const create = useMutation({
    mutationFn: () => run(creating),
    onSuccess: () => setName(''),
    ...settled,
  })
  const remove = useMutation({
    mutationFn: (group: Resource) => run(deletion(group)),
    onSuccess: () => setRemoving(null),
    ...settled,
  })
  const found = list.data?.Resources ?? []
  const shown = found.find(({ id }) => id === open)
  return (
    <section>
      <div className="filters"><input type="search" aria-label="Search" placeholder="A part of the name" maxLength={256} value={search} onChange={(event) => type(event.target.value)} /></div>
      <Failure error={list.error ?? create.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data?.totalResults === 0 && <Empty title="No group matches." />}
      {found.length > 0 && (
        <Table label="Groups" rows={found} id={({ id }) => id} columns={[
          { title: 'Name', cell: ({ displayName }) => <strong>{displayName}</strong> },
          {
            title: '',
            narrow: true,
            cell: (group) => (
              <span className="row-actions">
                {group.displayName === 'users' ? <span className="muted">everybody</span> : <button type="button" className="small" aria-label={`Members of ${group.displayName}`} onClick={() => setOpen(group.id)}>Members</button>}
                {!BUILT_IN.includes(group.displayName ?? '') && <button type="button" className="small" aria-label={`Delete ${group.displayName}`} onClick={() => setRemoving(group)}>Delete</button>}
              </span>
            ),
          },
        ]} />
      )}
      {list.data && list.data.totalResults > 0 && <Pager start={start} total={list.data.totalResults} onStart={turn} />}
      <form className="inline" onSubmit={(event) => { event.preventDefault(); create.mutate() }}>
        <Field label="New group"><input required autoComplete="off" value={name} onChange={(event) => setName(event.target.value)} /></Field>
        <button type="submit" className="primary" disabled={create.isPending}>Create group</button>
        <CopyAs request={creating} />
      </form>
      {shown && <EditMembers group={shown} onClose={() => setOpen(null)} />}
      {removing && (
        <Confirm title="Delete this group?" action="Delete" request={deletion(removing)} name={removing.displayName ?? ''} error={remove.error} busy={remove.isPending} onConfirm={() => remove.mutate(removing)} onClose={() => setRemoving(null)}>
          <p>What was granted to <strong>{removing.displayName}</strong> is gone for its members.</p>
        </Confirm>
      )}
    </section>
  )
}

const deletion = ({ id }: Resource): ApiRequest => ({ method: 'DELETE', path: `${SCIM}/Groups/${id}` })

// More of them are found by their names.
const SHOWN = 100
const CHOICES = 20

function EditMembers({ group: { id, displayName }, onClose }: { group: Resource; onClose: () => void }): ReactNode {
  const queries = useQueryClient()
  const choices = useId()
  const [text, setText] = useState('')
  const [part, setPart] = useState('')
  const group = useQuery({ queryKey: ['scim', 'Groups', id], queryFn: () => get<Resource>(`${SCIM}/Groups/${id}`) })
  const members = group.data?.members ?? []
  const found = members.filter(({ display }) => display.toLowerCase().includes(part.trim().toLowerCase()))
  const users = useScim('Users', containing('userName', useSettled(text)), 1, CHOICES)
  const settled = {
    onSuccess: () => setText(''),
    onSettled: () => queries.invalidateQueries({ queryKey: ['scim'] }),
  }
  const change = (operation: object): Promise<unknown> =>
    run({ method: 'PATCH', path: `${SCIM}/Groups/${id}`, body: { schemas: [PATCH], Operations: [operation] } })
  const add = useMutation({
    mutationFn: async (name: string) => {
      const member = await idOf(name)
      if (member === undefined) throw new Error(`There is no user or service principal called ${name}.`)
      return change({ op: 'add', path: 'members', value: [{ value: member }] })
    },
    ...settled,
  })
  const remove = useMutation({
    mutationFn: (member: string) => change({ op: 'remove', path: `members[value eq "${member}"]` }),
    ...settled,
  })
  return (
    <Dialog title={`Members of ${displayName}`} onClose={onClose}>
      <Failure error={group.error ?? add.error ?? remove.error} />
      <form className="inline" onSubmit={(event) => { event.preventDefault(); add.mutate(text.trim()) }}>
        <Field label="User or service principal"><input required list={choices} autoComplete="off" maxLength={256} value={text} onChange={(event) => setText(event.target.value)} /></Field>
        <datalist id={choices}>{(users.data?.Resources ?? []).map(({ id: user, userName }) => <option key={user} value={userName} />)}</datalist>
        <button type="submit" className="primary" disabled={add.isPending}>Add</button>
      </form>
      {group.isPending && !group.error && <Loading />}
      {group.data && members.length === 0 && <Empty title="Nobody is in this group." />}
      {members.length > SHOWN && <div className="filters"><input type="search" aria-label="Find a member" placeholder="A part of the name" value={part} onChange={(event) => setPart(event.target.value)} /></div>}
      {found.length > 0 && (
        <Table label="Members" rows={found.slice(0, SHOWN)} id={({ value }) => value} columns={[
          { title: 'Name', cell: ({ display }) => display },
          { title: '', narrow: true, cell: ({ value, display }) => <button type="button" className="small" aria-label={`Remove ${display}`} disabled={remove.isPending} onClick={() => remove.mutate(value)}>Remove</button> },
        ]} />
      )}
      {members.length > SHOWN && <p className="muted foot" role="status">{Math.min(found.length, SHOWN)} of {found.length === members.length ? members.length : `${found.length} that are found`}</p>}
    </Dialog>
  )
}

/** The identifier of whoever has this user name, or this name as a service principal. */
async function idOf(name: string): Promise<string | undefined> {
  for (const [kind, attribute] of [['Users', 'userName'], ['ServicePrincipals', 'displayName']] as const) {
    const found = await get<Listed>(`${SCIM}/${kind}${query({ filter: equal(attribute, name) })}`)
    if (found.Resources?.[0] !== undefined) return found.Resources[0].id
  }
  return undefined
}
