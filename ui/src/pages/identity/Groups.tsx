import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useId, useState } from 'react'
import { type ApiRequest, get, query, run } from '../../api'
import { Confirm, Dialog, Empty, Failure, Field, Loading, Table } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { Pager } from './Pager'
import { equal, type Listed, type Resource, SCIM, useScim } from './scim'

const PATCH = 'urn:ietf:params:scim:api:messages:2.0:PatchOp'
// Those that every deployment has.
const BUILT_IN = ['admins', 'users']

export function Groups(): ReactNode {
  const queries = useQueryClient()
  const [start, setStart] = useState(1)
  const [name, setName] = useState('')
  const [open, setOpen] = useState<string | null>(null)
  const [removing, setRemoving] = useState<Resource | null>(null)
  const list = useScim('Groups', '', start)
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
      <Failure error={list.error ?? create.error} />
      {list.isPending && !list.error && <Loading />}
      {found.length > 0 && (
        <Table label="Groups" rows={found} id={({ id }) => id} columns={[
          { title: 'Name', cell: ({ displayName }) => <strong>{displayName}</strong> },
          { title: 'Members', cell: ({ members }) => <Members members={members ?? []} /> },
          {
            title: '',
            narrow: true,
            cell: (group) => (
              <span className="row-actions">
                {group.displayName !== 'users' && <button type="button" className="small" aria-label={`Members of ${group.displayName}`} onClick={() => setOpen(group.id)}>Members</button>}
                {!BUILT_IN.includes(group.displayName ?? '') && <button type="button" className="small" aria-label={`Delete ${group.displayName}`} onClick={() => setRemoving(group)}>Delete</button>}
              </span>
            ),
          },
        ]} />
      )}
      {list.data && found.length > 0 && <Pager start={start} total={list.data.totalResults} onStart={setStart} />}
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

const SHOWN = 8

function Members({ members }: { members: NonNullable<Resource['members']> }): ReactNode {
  if (members.length === 0) return <span className="muted">nobody</span>
  return (
    <>
      {members.slice(0, SHOWN).map(({ value, display }) => <span className="chip" key={value}>{display}</span>)}
      {members.length > SHOWN && <span className="muted">and {members.length - SHOWN} more</span>}
    </>
  )
}

function EditMembers({ group, onClose }: { group: Resource; onClose: () => void }): ReactNode {
  const queries = useQueryClient()
  const choices = useId()
  const [text, setText] = useState('')
  // Of many users these are the first; others are found by their whole names.
  const users = useScim('Users', '', 1)
  const settled = {
    onSuccess: () => setText(''),
    onSettled: () => queries.invalidateQueries({ queryKey: ['scim'] }),
  }
  const change = (operation: object): Promise<unknown> =>
    run({ method: 'PATCH', path: `${SCIM}/Groups/${group.id}`, body: { schemas: [PATCH], Operations: [operation] } })
  const add = useMutation({
    mutationFn: async (name: string) => {
      const id = await idOf(name)
      if (id === undefined) throw new Error(`There is no user or service principal called ${name}.`)
      return change({ op: 'add', path: 'members', value: [{ value: id }] })
    },
    ...settled,
  })
  const remove = useMutation({
    mutationFn: (id: string) => change({ op: 'remove', path: `members[value eq "${id}"]` }),
    ...settled,
  })
  return (
    <Dialog title={`Members of ${group.displayName}`} onClose={onClose}>
      <Failure error={add.error ?? remove.error} />
      {(group.members ?? []).length === 0
        ? <Empty title="Nobody is in this group." />
        : (
          <Table label="Members" rows={group.members ?? []} id={({ value }) => value} columns={[
            { title: 'Name', cell: ({ display }) => display },
            { title: '', narrow: true, cell: ({ value, display }) => <button type="button" className="small" aria-label={`Remove ${display}`} disabled={remove.isPending} onClick={() => remove.mutate(value)}>Remove</button> },
          ]} />
        )}
      <form className="inline" onSubmit={(event) => { event.preventDefault(); add.mutate(text.trim()) }}>
        <Field label="User or service principal"><input required list={choices} autoComplete="off" value={text} onChange={(event) => setText(event.target.value)} /></Field>
        <datalist id={choices}>{(users.data?.Resources ?? []).map(({ id, userName }) => <option key={id} value={userName} />)}</datalist>
        <button type="submit" className="primary" disabled={add.isPending}>Add</button>
      </form>
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
