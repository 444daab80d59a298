import { type ReactNode, useId } from 'react'
import { useFeatures } from '../deployment'
import { TASKS } from '../entities'
import { Field } from '../kit'
import { PROVIDERS, providerForm } from './cases'
import { defaultName, type EntityDraft } from './draft'
import { HostedFields } from './HostedFields'
import { ProviderFields } from './ProviderForm'

/** One served entity; its task is fixed where another entity has set it. */
export function EntityForm({ draft, fixedTask, onChange }: {
  draft: EntityDraft
  fixedTask: string | undefined
  onChange: (change: Partial<EntityDraft>) => void
}): ReactNode {
  const hosts = useFeatures().has('hosted_models')
  return (
    <>
      {(hosts || draft.kind === 'hosted') && (
        <div className="segments" role="group" aria-label="Kind of entity">
          <button type="button" aria-pressed={draft.kind === 'external'} onClick={() => onChange({ kind: 'external' })}>External model</button>
          <button type="button" aria-pressed={draft.kind === 'hosted'} onClick={() => onChange({ kind: 'hosted' })}>Hosted model</button>
        </div>
      )}
      {draft.kind === 'external'
        ? <External draft={draft} fixedTask={fixedTask} onChange={onChange} />
        : <HostedFields hosted={draft.hosted} onChange={(change) => onChange({ hosted: { ...draft.hosted, ...change } })} />}
      <Field label="Entity name" required={false} help="What the split, the usage and the answers call it.">
        <input autoComplete="off" maxLength={63} placeholder={defaultName(draft)} value={draft.name} onChange={(event) => onChange({ name: event.target.value })} />
      </Field>
    </>
  )
}

function External({ draft, fixedTask, onChange }: {
  draft: EntityDraft
  fixedTask: string | undefined
  onChange: (change: Partial<EntityDraft>) => void
}): ReactNode {
  const list = useId()
  const form = providerForm(draft.provider)
  const tasks = form?.tasks ?? []
  const choose = (provider: string): void => {
    const offered = providerForm(provider)?.tasks ?? []
    const task = offered.includes(draft.task) ? draft.task : offered[0] ?? ''
    onChange({ provider, place: 0, group: '', texts: {}, references: {}, plain: {}, kept: {}, task })
  }
  return (
    <>
      <div className="columns">
        <Field label="Provider" help={form?.description.replace(/^./, (letter) => letter.toUpperCase())}>
          <select value={draft.provider} onChange={(event) => choose(event.target.value)}>
            {PROVIDERS.map(({ provider }) => <option key={provider}>{provider}</option>)}
          </select>
        </Field>
        <Field label="Model" help={form?.model_name ? `Must be ${form.model_name}.` : 'Its name at the provider.'}>
          <input required list={list} autoComplete="off" spellCheck={false} maxLength={256} value={draft.model} onChange={(event) => onChange({ model: event.target.value })} />
        </Field>
        <datalist id={list}>{form?.suggested_models[draft.task]?.map((name) => <option key={name} value={name} />)}</datalist>
        <Field label="Task" help={fixedTask === undefined ? undefined : 'All entities of an endpoint have the same task.'}>
          <select value={draft.task} disabled={fixedTask !== undefined} onChange={(event) => onChange({ task: event.target.value })}>
            {tasks.map((task) => <option key={task} value={task}>{TASKS[task] ?? task} ({task})</option>)}
          </select>
        </Field>
      </div>
      {form !== undefined && <ProviderFields form={form} draft={draft} onChange={onChange} />}
    </>
  )
}
