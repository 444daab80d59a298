import { useQuery } from '@tanstack/react-query'
import { get } from './api'
import type { Me } from './types'

/** Who is signed in. */
export function useMe(): { id: string; name: string; admin: boolean } {
  const me = useQuery({
    queryKey: ['me'],
    queryFn: () => get<Me>('/api/2.0/preview/scim/v2/Me'),
    staleTime: 60_000,
  })
  return {
    id: me.data?.id ?? '',
    name: me.data?.userName ?? me.data?.displayName ?? '',
    admin: me.data?.groups?.some(({ display }) => display === 'admins') ?? false,
  }
}
