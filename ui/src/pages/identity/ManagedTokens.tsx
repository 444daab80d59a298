import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type ApiRequest, get, query, run } from '../../api'
import { Confirm, Empty, Failure, Loading } from '../../kit'
import type { TokenInfo } from '../../types'
import { TokenTable } from '../Account'

const PATH = '/api/2.0/token-management/tokens'
const SHOWN = 200
const revocation = ({ token_id: id }: TokenInfo): ApiRequest => ({ method: 'DELETE', path: `${PATH}/${encodeURIComponent(id)}` })

/** The tokens of all principals. */
export function ManagedTokens(): ReactNode {
  const queries = useQueryClient()
  const [owner, setOwner] = useState('')
  const [shown, setShown] = useState(SHOWN)
  const [revoking, setRevoking] = useState<TokenInfo | null>(null)
  const list = useQuery({
    queryKey: ['managed-tokens', owner],
    queryFn: () => get<{ token_infos?: TokenInfo[] }>(PATH + query({ created_by_username: owner.trim() })),
  })
  const revoke = useMutation({
    mutationFn: (token: TokenInfo) => run(revocation(token)),
    onSuccess: () => { setRevoking(null); void queries.invalidateQueries({ queryKey: ['managed-tokens'] }) },
  })
  const tokens = list.data?.token_infos ?? []
  return (
    <section>
      <div className="filters"><input type="search" aria-label="Owner" placeholder="Whole name of the owner" value={owner} onChange={(event) => { setOwner(event.target.value); setShown(SHOWN) }} /></div>
      <Failure error={list.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && tokens.length === 0 && <Empty title="There are no such tokens." />}
      {tokens.length > 0 && <TokenTable owners tokens={tokens.slice(0, shown)} onRevoke={setRevoking} />}
      {tokens.length > shown && <button type="button" onClick={() => setShown(shown + SHOWN)}>Show more of {tokens.length}</button>}
      {revoking && (
        <Confirm title="Revoke this token?" action="Revoke" request={revocation(revoking)} error={revoke.error} busy={revoke.isPending} onConfirm={() => revoke.mutate(revoking)} onClose={() => setRevoking(null)}>
          <p><strong>{revoking.created_by_username}</strong> is refused with it from then on.</p>
        </Confirm>
      )}
    </section>
  )
}
