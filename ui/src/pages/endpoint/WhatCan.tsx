import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { get, query } from '../../api'
import { Failure, Field, Loading } from '../../kit'
import { useMe } from '../../me'
import { equal, type Listed, type Resource, SCIM } from '../identity/scim'
import { type Entry, reasonsOf } from './access'

/** Which grants give somebody a level. Groups of others are for administrators, so that all others ask for themselves. */
export function WhatCan({ entries }: { entries: readonly Entry[] }): ReactNode {
  const me = useMe()
  const [name, setName] = useState('')
  const asked = me.admin ? name.trim() : me.name
  const found = useMutation({ mutationFn: () => (me.admin ? find(asked) : get<Resource>(`${SCIM}/Me`)) })
  return (
    <>
      <h3>What can somebody do?</h3>
      {!me.admin && <p className="muted">Administrators may ask for others, too: they alone know their groups.</p>}
      <form className="inline" onSubmit={(event) => { event.preventDefault(); found.mutate() }}>
        <Field label="Who" className="principal"><input required placeholder="User name or application id" maxLength={256} autoComplete="off" disabled={!me.admin} value={me.admin ? name : me.name} onChange={(event) => { setName(event.target.value); found.reset() }} /></Field>
        <button type="submit" disabled={found.isPending}>Explain</button>
      </form>
      <Failure error={found.error} />
      {found.isPending && <Loading />}
      <div role="status">{found.data !== undefined && <Explained name={asked} somebody={found.data} entries={entries} />}</div>
    </>
  )
}

async function find(name: string): Promise<Resource | null> {
  const search = (kind: string, attribute: string): Promise<Listed> => get<Listed>(`${SCIM}/${kind}${query({ filter: equal(attribute, name) })}`)
  const [users, principals] = await Promise.all([search('Users', 'userName'), search('ServicePrincipals', 'applicationId')])
  return users.Resources?.[0] ?? principals.Resources?.[0] ?? null
}

function Explained({ name, somebody, entries }: { name: string; somebody: Resource | null; entries: readonly Entry[] }): ReactNode {
  if (somebody === null) return <p className="muted">There is no user or service principal {name}.</p>
  if (somebody.active === false) return <p><strong>{name}</strong> is not active, and can do nothing.</p>
  const names = [somebody.userName, somebody.applicationId].filter((one) => one !== undefined)
  const reasons = reasonsOf(entries, { names, groups: (somebody.groups ?? []).map(({ display }) => display) })
  const [first] = reasons
  if (first === undefined) return <p><strong>{name}</strong> cannot see the endpoint: no grant names it, or a group of it.</p>
  return (
    <>
      <p><strong>{name}</strong> has <strong>{first.level}</strong>, the highest of:</p>
      <ol className="ladder">{reasons.map(({ level, why }) => <li key={level + why}><strong>{level}</strong> {why}</li>)}</ol>
    </>
  )
}
