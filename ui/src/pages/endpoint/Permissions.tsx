import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type ApiRequest, get, run } from '../../api'
import { Failure, Loading, Table } from '../../kit'
import { type Entry, ownLevel } from './access'
import { type Grant, GrantForm, KINDS, LEVELS } from './GrantForm'
import { WhatCan } from './WhatCan'

/** Who may do what with an endpoint. */
export function Permissions({ id, creator }: { id: string; creator: string }): ReactNode {
  const queries = useQueryClient()
  const path = `/api/2.0/permissions/serving-endpoints/${id}`
  // How often something was granted: then the form is empty again.
  const [given, setGiven] = useState(0)
  const list = useQuery({
    queryKey: ['permissions', id],
    queryFn: () => get<{ access_control_list?: Entry[] }>(path),
  })
  const entries = list.data?.access_control_list ?? []
  const granting = (entry: Grant): ApiRequest => ({ method: 'PATCH', path, body: { access_control_list: [entry] } })
  const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['permissions', id] }) }
  const grant = useMutation({
    mutationFn: (entry: Grant) => run(granting(entry)),
    onSuccess: () => setGiven(given + 1),
    ...settled,
  })
  const remove = useMutation({
    // The list is replaced as a whole: what came to it meanwhile must stay.
    mutationFn: async (entry: Entry) => {
      const now = (await get<{ access_control_list?: Entry[] }>(path)).access_control_list ?? []
      const kept = now.filter((other) => nameOf(other) !== nameOf(entry)).flatMap(grantOf)
      return run({ method: 'PUT', path, body: { access_control_list: kept } })
    },
    ...settled,
  })
  return (
    <section>
      <h2>Permissions</h2>
      <p className="muted">CAN_VIEW sees the endpoint, CAN_QUERY may also ask it, CAN_MANAGE may change, grant and delete.</p>
      <Failure error={list.error ?? grant.error ?? remove.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && (
        <Table label="Permissions" rows={entries} id={(entry) => KINDS.map(([field]) => entry[field as keyof Entry] ?? '').join('/')} columns={[
          { title: 'Who', cell: (entry) => <strong>{nameOf(entry)}</strong> },
          {
            title: 'Level',
            cell: (entry) => {
              const own = ownLevel(entry)
              const locked = lockOf(entry, creator)
              if (locked !== '') return <>{entry.all_permissions?.[0]?.permission_level}<small className="under-cell">locked: {locked}</small></>
              return (
                <select aria-label={`Level of ${nameOf(entry)}`} value={own ?? ''} disabled={grant.isPending}
                  onChange={(event) => grant.mutate({ ...who(entry), permission_level: event.target.value })}>
                  {LEVELS.map((item) => <option key={item}>{item}</option>)}
                </select>
              )
            },
          },
          { title: 'Kind', cell: (entry) => KINDS.find(([field]) => entry[field as keyof Entry] !== undefined)?.[1] },
          {
            title: '',
            narrow: true,
            cell: (entry) => lockOf(entry, creator) === '' && (
              <button type="button" className="small" aria-label={`Remove ${nameOf(entry)}`} disabled={remove.isPending} onClick={() => remove.mutate(entry)}>Remove</button>
            ),
          },
        ]} />
      )}
      <GrantForm key={given} busy={grant.isPending} request={granting} onGrant={(entry) => grant.mutate(entry)} />
      {list.data && <WhatCan entries={entries} />}
    </section>
  )
}

function nameOf(entry: Entry): string {
  const name = entry.user_name ?? entry.group_name ?? entry.service_principal_name ?? ''
  return entry.display_name && entry.display_name !== name ? `${entry.display_name} (${name})` : name
}

/** Why a row cannot be changed; empty: it can. */
function lockOf(entry: Entry, creator: string): string {
  if (ownLevel(entry) === undefined) return 'administrators manage every endpoint'
  return (entry.user_name ?? entry.service_principal_name) === creator ? 'has created the endpoint' : ''
}

function who(entry: Entry): Record<string, string | undefined> {
  const [field = ''] = KINDS.find(([name]) => entry[name as keyof Entry] !== undefined) ?? []
  return { [field]: entry[field as keyof Entry] as string | undefined }
}

function grantOf(entry: Entry): Grant[] {
  const own = ownLevel(entry)
  return own === undefined ? [] : [{ ...who(entry), permission_level: own }]
}
