import { ENDPOINTS, get, query } from '../../api'
import type { Endpoint } from '../../types'

const MOST = 1000

/** The query for the endpoints that the caller may ask. */
export const askable = {
  queryKey: ['endpoint-names'],
  queryFn: async (): Promise<Endpoint[]> => {
    const { endpoints = [] } = await get<{ endpoints?: Endpoint[] }>(ENDPOINTS + query({ max_results: MOST }))
    return endpoints.filter(({ permission_level: level }) => level !== 'CAN_VIEW')
  },
}
