import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { useLocation } from 'wouter'
import { type ApiRequest, endpointPath, get, query, run } from '../../api'
import { count } from '../../format'
import { Confirm } from '../../kit'
import type { UsageTotal } from '../../types'

const DAY_MS = 86_400_000
const SHOWN = 5

/** Asks before an endpoint is deleted, and says who would miss it. */
export function DeleteEndpoint({ name, onClose }: { name: string; onClose: () => void }): ReactNode {
  const [, navigate] = useLocation()
  const queries = useQueryClient()
  const request: ApiRequest = { method: 'DELETE', path: endpointPath(name) }
  const remove = useMutation({
    mutationFn: () => run(request),
    onSuccess: () => {
      onClose()
      navigate('/endpoints')
      queries.removeQueries({ queryKey: ['endpoint', name] })
      void queries.invalidateQueries({ queryKey: ['endpoints'] })
    },
  })
  return (
    <Confirm title="Delete this endpoint?" action="Delete" name={name} request={request} error={remove.error} busy={remove.isPending} onConfirm={() => remove.mutate()} onClose={onClose}>
      <p>Queries of <strong>{name}</strong> fail from then on. Its versions, and the credentials that were given with it, are gone.</p>
      <Callers name={name} />
    </Confirm>
  )
}

/** Who has asked an endpoint in the last 24 hours, as far as its usage is tracked. */
function Callers({ name }: { name: string }): ReactNode {
  const [since] = useState(() => Date.now() - DAY_MS)
  const totals = useQuery({
    queryKey: ['usage', 'callers', name, since],
    queryFn: () => get<{ totals?: UsageTotal[] }>(endpointPath(name, `/usage${query({ group_by: 'requester', start_time: since })}`)),
  })
  if (totals.error) return <p className="muted">Who has asked it is not known now: {totals.error.message}</p>
  if (!totals.data) return <p className="muted" role="status">Looking who has asked it …</p>
  const callers = [...(totals.data.totals ?? [])].sort((one, other) => other.requests - one.requests)
  if (callers.length === 0) return <p role="status">No call of the last 24 hours is recorded, which takes usage tracking.</p>
  return (
    <div role="status">
      <p>It was asked in the last 24 hours by:</p>
      <ul className="callers">
        {callers.slice(0, SHOWN).map(({ requester, requests }) => <li key={String(requester)}><strong>{String(requester)}</strong> <span className="muted">{count(requests)} calls</span></li>)}
        {callers.length > SHOWN && <li className="muted">and {callers.length - SHOWN} others</li>}
      </ul>
    </div>
  )
}
