import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { ENDPOINTS, endpointPath, run } from '../../api'
import { shareOf } from '../../entities'
import { Dialog, Failure, NEEDS_MANAGE } from '../../kit'
import { Differences } from '../../kit/Differences'
import { Shares } from '../../kit/Shares'
import { useGuard } from '../../kit/useAddress'
import { setShare } from '../../split'
import type { Difference, Endpoint, ServedEntity } from '../../types'

const PRESETS = [1, 5, 25, 50, 100]

/** The split of the traffic between entities; entities and credentials stay as they are. */
export function Split({ endpoint, entities, manages }: { endpoint: Endpoint; entities: ServedEntity[]; manages: boolean }): ReactNode {
  const queries = useQueryClient()
  const now = entities.map(({ name }) => shareOf(endpoint.config, name))
  const [draft, setDraft] = useState<number[] | null>(null)
  const shares = draft ?? now
  const changed = shares.some((share, place) => share !== now[place])
  const names = entities.map(({ name }) => name)
  const last = names.length - 1
  const body = { traffic_config: { routes: names.map((name, place) => ({ served_model_name: name, traffic_percentage: shares[place] ?? 0 })) } }
  const trial = useMutation({
    mutationFn: () => run<{ differences?: Difference[] }>({ method: 'POST', path: `${ENDPOINTS}:validate`, body: { update: { name: endpoint.name, config: body } } }),
  })
  const apply = useMutation({
    mutationFn: () => run({ method: 'PUT', path: endpointPath(endpoint.name, '/config'), body }),
    onSuccess: () => trial.reset(),
    onSettled: () => queries.invalidateQueries({ queryKey: ['endpoint', endpoint.name] }),
  })
  useGuard(changed && !apply.isSuccess)
  return (
    <section className="card split">
      <div className="card-head">
        <h3>Traffic split</h3>
        {names.length > 1 && draft === null && (
          <button type="button" title={manages ? undefined : NEEDS_MANAGE} disabled={!manages} onClick={() => setDraft(now)}>Edit split</button>
        )}
      </div>
      <Failure error={trial.error} />
      <Shares names={names} shares={shares} editable={draft !== null} onChange={setDraft} />
      {draft !== null && (
        <>
          <div className="presets">
            <span className="muted">{names[last]}:</span>
            {PRESETS.map((value) => <button type="button" className="small" key={value} onClick={() => setDraft(setShare(draft, last, value))}>{value} %</button>)}
          </div>
          <div className="form-foot">
            <button type="button" onClick={() => setDraft(null)}>Discard</button>
            <button type="button" className="primary" disabled={trial.isPending || !changed} onClick={() => trial.mutate()}>Apply split</button>
          </div>
        </>
      )}
      {trial.data && (
        <Dialog title="What changes" wide onClose={() => { trial.reset(); apply.reset() }}>
          <Failure error={apply.error} />
          <Differences differences={trial.data.differences ?? []} />
          <div className="dialog-foot">
            <button type="button" onClick={trial.reset}>Not yet</button>
            <button type="button" className="primary" disabled={apply.isPending} onClick={() => apply.mutate()}>{apply.isPending ? 'Applying …' : 'Apply'}</button>
          </div>
        </Dialog>
      )}
    </section>
  )
}
