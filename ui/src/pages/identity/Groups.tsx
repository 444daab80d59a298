import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useId, useState } from 'react'
import { get, query, run } from '../../api'
import { Confirm, Dialog, Empty, Failure, Field, Loading, Table } from '../../kit'
import { Pager } from './Pager'
import { containing, type Listed, type Resource, SCIM, useScim } from './scim'

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
  const create = useMutation({
    mutationFn: () => run({ method: 'POST', path: `${SCIM}/Groups`, body: { displayName: name.trim() } }),
    onSuccess: () => setName(''),
    ...settled,
  })
  const remove = useMutation({
    mutationFn: (group: Resource) => run({ method: 'DELETE', path: `${SCIM}/Groups/${group.id}` }),
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
      </form>
      {shown && <EditMembers group={shown} onClose={() => setOpen(null)} />}
      {removing && (
        <Confirm title="Delete this group?" action="Delete" name={removing.displayName ?? ''} error={remove.error} busy={remove.isPending} onConfirm={() => remove.mutate(removing)} onClose={() => setRemoving(null)}>
          <p>What was granted to <strong>{removing.displayName}</strong> is gone for its members.</p>
        </Confirm>
      )}
    </section>
  )
}

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
  const users = useQuery({
    queryKey: ['scim', 'candidates', text],
    queryFn: () => get<Listed>(`${SCIM}/Users${query({ filter: containing('userName', text), count: 20 })}`),
  })
  const patch = useMutation({
    mutationFn: (operation: object) => run({ method: 'PATCH', path: `${SCIM}/Groups/${group.id}`, body: { schemas: [PATCH], Operations: [operation] } }),
    onSuccess: () => setText(''),
    onSettled: () => queries.invalidateQueries({ queryKey: ['scim'] }),
  })
  const candidates = users.data?.Resources ?? []
  const found = candidates.find(({ userName }) => userName === text.trim())
  return (
    <Dialog title={`Members of ${group.displayName}`} onClose={onClose}>
      <Failure error={patch.error} />
      {(group.members ?? []).length === 0
        ? <Empty title="Nobody is in this group." />
        : (
          <Table label="Members" rows={group.members ?? []} id={({ value }) => value} columns={[
            { title: 'Name', cell: ({ display }) => display },
            { title: '', narrow: true, cell: ({ value, display }) => <button type="button" className="small" aria-label={`Remove ${display}`} disabled={patch.isPending} onClick={() => patch.mutate({ op: 'remove', path: `members[value eq "${value}"]` })}>Remove</button> },
          ]} />
        )}
      <form className="inline" onSubmit={(event) => { event.preventDefault(); if (found) patch.mutate({ op: 'add', path: 'members', value: [{ value: found.id }] }) }}>
        <Field label="User"><input list={choices} autoComplete="off" value={text} onChange={(event) => setText(event.target.value)} /></Field>
        <datalist id={choices}>{candidates.map(({ id, userName }) => <option key={id} value={userName} />)}</datalist>
        <button type="submit" className="primary" disabled={!found || patch.isPending}>Add</button>
      </form>
    </Dialog>
  )
}
