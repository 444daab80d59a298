import { useQuery } from '@tanstack/react-query'
import { get } from './api'
import type { Deployment } from './types'

/** What the operator has set up; nothing until it is known. */
export function useFeatures(): ReadonlySet<string> {
  const deployment = useQuery({
    queryKey: ['deployment'],
    queryFn: () => get<Deployment>('/api/2.0/deployment'),
    staleTime: Number.POSITIVE_INFINITY,
  })
  return new Set(deployment.data?.features ?? [])
}
