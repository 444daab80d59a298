import type { ReactNode } from 'react'
import { EntityForm } from '../forms/EntityForm'
import { defaultName, type EntityDraft, newDraft } from '../forms/draft'
import { Shares } from '../kit/Shares'
import { setShare } from '../split'

/** The served entities of a configuration, and the split of the traffic between them. */
export function Entities({ drafts, onChange }: {
  drafts: EntityDraft[]
  onChange: (drafts: EntityDraft[]) => void
}): ReactNode {
  const change = (id: number, values: Partial<EntityDraft>): void => {
    const first = drafts[0]?.id === id
    onChange(drafts.map((draft) =>
      draft.id === id ? { ...draft, ...values }
      // The first one sets the task of all.
      : first && values.task !== undefined ? { ...draft, task: values.task } : draft))
  }
  const add = (): void => {
    const id = Math.max(0, ...drafts.map((draft) => draft.id)) + 1
    onChange([...drafts, newDraft(id, drafts.length === 0 ? 100 : 0, drafts[0]?.task)])
  }
  const remove = (place: number): void => {
    const shares = setShare(drafts.map(({ share }) => share), place, 0)
    const rest = drafts.map((draft, index) => ({ ...draft, share: shares[index] ?? 0 })).filter((_, index) => index !== place)
    onChange(rest.length === 1 ? rest.map((draft) => ({ ...draft, share: 100 })) : rest)
  }
  const names = drafts.map((draft, place) => draft.name || defaultName(draft) || `entity ${place + 1}`)
  return (
    <section>
      <h2>Served entities</h2>
      {drafts.map((draft, place) => (
        <fieldset className="card entity" key={draft.id}>
          <legend>{names[place]}</legend>
          {drafts.length > 1 && <button type="button" className="small remove" onClick={() => remove(place)}>Remove</button>}
          <EntityForm draft={draft} fixedTask={place > 0 ? drafts[0]?.task : undefined} onChange={(values) => change(draft.id, values)} />
        </fieldset>
      ))}
      <button type="button" onClick={add}>Add served entity</button>
      {drafts.length > 1 && (
        <>
          <h3>Traffic</h3>
          <Shares names={names} shares={drafts.map(({ share }) => share)} editable
            onChange={(shares) => onChange(drafts.map((draft, place) => ({ ...draft, share: shares[place] ?? 0 })))} />
          <p className="muted">An entity with 0 % can be asked by its name before it gets traffic.</p>
        </>
      )}
    </section>
  )
}
