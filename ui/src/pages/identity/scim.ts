import { type UseQueryResult, useQuery } from '@tanstack/react-query'
import { get, query } from '../../api'

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

const PAGE = 100

/** One page of users, service principals or groups; `start` counts from 1. */
export function useScim(kind: string, filter: string, start: number): UseQueryResult<Listed> {
  return useQuery({
    queryKey: ['scim', kind, filter, start],
    queryFn: () => get<Listed>(`${SCIM}/${kind}${query({ filter, startIndex: start, count: PAGE })}`),
  })
}

/** A filter for what has exactly this value, which is the kind that the API has; empty: for all. */
export function equal(attribute: string, text: string): string {
  const wanted = text.trim()
  return wanted === '' ? '' : `${attribute} eq ${JSON.stringify(wanted)}`
}

export const PAGE_SIZE = PAGE
