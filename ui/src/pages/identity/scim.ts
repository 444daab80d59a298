import { keepPreviousData, type UseQueryResult, useQuery } from '@tanstack/react-query'
import { text, whole } from '../../address'
import { get, query } from '../../api'
import { useAddress, useTyped } from '../../kit/useAddress'

export const SCIM = '/api/2.0/preview/scim/v2'

export interface Resource {
  id: string
  userName?: string
  applicationId?: string
  displayName?: string
  active?: boolean
  groups?: { value: string; display: string }[]
  members?: { value: string; display: string; $ref?: string }[]
}
export interface Listed { totalResults: number; Resources?: Resource[] }

export const PAGE_SIZE = 100

// A part of a name, and the place of the first that is shown.
const LISTED = { search: text(), start: whole }

/** What the address of a list says, with what is being typed; another text begins at the first. */
export function useListed(): { search: string; type: (text: string) => void; start: number; turn: (start: number) => void } {
  const address = useAddress(LISTED)
  const [{ start, search: written }, change] = address
  const [search, type] = useTyped(address, 'search', { start: 0 })
  return { search, type, start: search === written ? Math.max(1, start) : 1, turn: (next) => change({ start: next === 1 ? 0 : next }) }
}

/**
 * One page of users, service principals or groups; `start` counts from 1.
 *
 * Of groups without their members: of some these are all users.
 */
export function useScim(kind: string, filter: string, start: number, count = PAGE_SIZE): UseQueryResult<Listed> {
  const asked = { filter, startIndex: start, count, excludedAttributes: kind === 'Groups' ? 'members' : '' }
  return useQuery({
    queryKey: ['scim', kind, asked],
    queryFn: () => get<Listed>(`${SCIM}/${kind}${query(asked)}`),
    // What was there stays until there is an answer.
    placeholderData: keepPreviousData,
  })
}

/** A filter for what has exactly this value; empty: for all. */
export function equal(attribute: string, value: string): string {
  return filter(attribute, 'eq', value)
}

/** A filter for what has this in its value; empty: for all. */
export function containing(attribute: string, part: string): string {
  return filter(attribute, 'co', part)
}

function filter(attribute: string, operator: string, value: string): string {
  const wanted = value.trim()
  return wanted === '' ? '' : `${attribute} ${operator} ${JSON.stringify(wanted)}`
}

