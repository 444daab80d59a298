import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type ApiRequest, endpointPath, get, run } from '../../api'
import { Failure } from '../../kit'
import type { AiGateway, Endpoint } from '../../types'

/**
 * Replaces the settings of the AI Gateway, which is done as a whole: what somebody else has changed since
 * the form began is shown before it is lost.
 *
 * @param endpoint The endpoint, as it is now.
 * @param body The settings that the form stands for.
 * @param onSaved Called once they are saved.
 */
export function useGatewaySave(endpoint: Endpoint, body: AiGateway, onSaved: () => void): {
  request: ApiRequest
  busy: boolean
  save: () => void
  problem: ReactNode
} {
  const { name } = endpoint
  const queries = useQueryClient()
  // What others do meanwhile comes to this page by itself.
  const [began] = useState(endpoint.ai_gateway ?? {})
  const [theirs, setTheirs] = useState<AiGateway | null>(null)
  const request: ApiRequest = { method: 'PUT', path: endpointPath(name, '/ai-gateway'), body }
  const put = useMutation({
    mutationFn: async (known: AiGateway) => {
      const { ai_gateway: now = {} } = await get<Endpoint>(endpointPath(name))
      setTheirs(same(now, known) ? null : now)
      return same(now, known) ? run(request) : null
    },
    onSuccess: async (saved) => {
      await queries.invalidateQueries({ queryKey: ['endpoint', name] })
      if (saved !== null) onSaved()
    },
  })
  return {
    request,
    busy: put.isPending,
    save: () => put.mutate(began),
    problem: (
      <>
        <Failure error={put.error} />
        {theirs && (
          <div className="banner warning" role="alert">
            <strong>Somebody else has changed these settings meanwhile.</strong> Saving yours replaces all of them.
            <div className="columns">
              <section><h3>Now there</h3><pre tabIndex={0} aria-label="Now there">{JSON.stringify(theirs, null, 2)}</pre></section>
              <section><h3>Yours</h3><pre tabIndex={0} aria-label="Yours">{JSON.stringify(body, null, 2)}</pre></section>
            </div>
            <button type="button" disabled={put.isPending} onClick={() => put.mutate(theirs)}>Save mine in place of it</button>
          </div>
        )}
      </>
    ),
  }
}

function same(one: AiGateway, other: AiGateway): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
