import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { type ReactNode, useId, useState } from 'react'
import { type ApiRequest, get, query } from '../../api'
import { Field } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { useSettled } from '../../settled'

export const LEVELS = ['CAN_VIEW', 'CAN_QUERY', 'CAN_MANAGE']
export const KINDS: [string, string][] = [
  ['group_name', 'Group'],
  ['user_name', 'User'],
  ['service_principal_name', 'Service principal'],
]
// The fields of grants, by what is found.
const FIELDS: Record<string, string> = { GROUP: 'group_name', USER: 'user_name', SERVICE_PRINCIPAL: 'service_principal_name' }
const MOST = 20

export interface Grant { [who: string]: string | undefined; permission_level: string }
interface Found { kind: string; name: string; display_name?: string }

/** Grants a level to somebody who is found by a part of the name. */
export function GrantForm({ busy, request, onGrant }: {
  busy: boolean
  request: (grant: Grant) => ApiRequest
  onGrant: (grant: Grant) => void
}): ReactNode {
  const choices = useId()
  const [name, setName] = useState('')
  const [kind, setKind] = useState('group_name')
  const [level, setLevel] = useState('CAN_QUERY')
  const search = useSettled(name.trim())
  const found = useQuery({
    queryKey: ['principals', search],
    queryFn: () => get<{ principals?: Found[] }>(`/api/2.0/principals${query({ search, max_results: MOST })}`),
    placeholderData: keepPreviousData,
  })
  const principals = found.data?.principals ?? []
  const write = (text: string): void => {
    setName(text)
    const kinds = principals.filter((one) => one.name === text.trim()).map((one) => FIELDS[one.kind] ?? kind)
    // A group and a user may have the same name: then it is as it was chosen.
    if (kinds.length === 1 && kinds[0] !== undefined) setKind(kinds[0])
  }
  const grant: Grant = { [kind]: name.trim(), permission_level: level }
  return (
    <form className="inline" onSubmit={(event) => { event.preventDefault(); onGrant(grant) }}>
      <Field label="Name" className="principal"><input required list={choices} autoComplete="off" maxLength={256} placeholder="Part of a name" value={name} onChange={(event) => write(event.target.value)} /></Field>
      <datalist id={choices}>{principals.map((one) => <option key={one.kind + one.name} value={one.name}>{labelOf(one)}</option>)}</datalist>
      <Field label="Kind"><select value={kind} onChange={(event) => setKind(event.target.value)}>{KINDS.map(([field, title]) => <option key={field} value={field}>{title}</option>)}</select></Field>
      <Field label="Level"><select value={level} onChange={(event) => setLevel(event.target.value)}>{LEVELS.map((item) => <option key={item}>{item}</option>)}</select></Field>
      <button type="submit" className="primary" disabled={busy}>Grant</button>
      <CopyAs request={request(grant)} />
    </form>
  )
}

function labelOf({ kind, name, display_name: shown }: Found): string {
  const [, title] = KINDS.find(([field]) => field === FIELDS[kind]) ?? ['', kind]
  return shown !== undefined && shown !== name ? `${shown}, ${title.toLowerCase()}` : title
}
