import { useMutation, type UseMutationResult } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { ENDPOINTS, run } from '../api'
import { Dialog } from '../kit'
import { Differences } from '../kit/Differences'
import type { Difference } from '../types'

interface Tried { differences?: Difference[] }
type Trying = UseMutationResult<Tried, Error, void>

/** Asks what a change would do, which is refused for whatever the change itself would be refused for. */
export function useTrial(change: { create: unknown } | { update: unknown }): Trying {
  return useMutation({
    mutationFn: () => run<Tried>({ method: 'POST', path: `${ENDPOINTS}:validate`, body: change }),
  })
}

/** What a change would do, once that is known. */
export function Trial({ title, trial }: { title: string; trial: Trying }): ReactNode {
  return trial.data && (
    <Dialog title={title} wide onClose={trial.reset}>
      <p><span className="state success">It would be accepted.</span> What workers and providers find out later is not known yet.</p>
      <Differences differences={trial.data.differences ?? []} />
    </Dialog>
  )
}
