import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { text } from '../../address'
import { type ApiRequest, get, query, run } from '../../api'
import { Confirm, Empty, Failure, Loading } from '../../kit'
import { useAddress, useTyped } from '../../kit/useAddress'
import type { TokenInfo } from '../../types'
import { useSettled } from '../../settled'
import { TokenTable } from '../Account'

const PATH = '/api/2.0/token-management/tokens'
const SHOWN = 200
const PARAMETERS = { owner: text() }
const revocation = ({ token_id: id }: TokenInfo): ApiRequest => ({ method: 'DELETE', path: `${PATH}/${encodeURIComponent(id)}` })

/** The tokens of all principals. */
export function ManagedTokens(): ReactNode {
  const queries = useQueryClient()
  const [owner, setOwner] = useTyped(useAddress(PARAMETERS), 'owner')
  const [shown, setShown] = useState(SHOWN)
  const [revoking, setRevoking] = useState<TokenInfo | null>(null)
  const asked = useSettled(owner.trim())
  const list = useQuery({
    queryKey: ['managed-tokens', asked],
    queryFn: () => get<{ token_infos?: TokenInfo[] }>(PATH + query({ created_by_username: asked })),
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
