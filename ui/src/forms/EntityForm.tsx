import type { ReactNode } from 'react'
import { Check, Field } from '../kit'
import { PROVIDERS, providerForm } from './cases'
import { defaultName, type EntityDraft, type HostedDraft, TASKS } from './draft'
import { ProviderFields } from './ProviderForm'

/** One served entity; its task is fixed where another entity has set it. */
export function EntityForm({ draft, fixedTask, onChange }: {
  draft: EntityDraft
  fixedTask: string | undefined
  onChange: (change: Partial<EntityDraft>) => void
}): ReactNode {
  return (
    <>
      <div className="segments" role="group" aria-label="Kind of entity">
        <button type="button" aria-pressed={draft.kind === 'external'} onClick={() => onChange({ kind: 'external' })}>External model</button>
        <button type="button" aria-pressed={draft.kind === 'hosted'} onClick={() => onChange({ kind: 'hosted' })}>Hosted model</button>
      </div>
      {draft.kind === 'external'
        ? <External draft={draft} fixedTask={fixedTask} onChange={onChange} />
        : <Hosted hosted={draft.hosted} onChange={(change) => onChange({ hosted: { ...draft.hosted, ...change } })} />}
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
  const form = providerForm(draft.provider)
  const tasks = form?.tasks ?? []
  const choose = (provider: string): void => {
    const offered = providerForm(provider)?.tasks ?? []
    const task = offered.includes(draft.task) ? draft.task : offered[0] ?? ''
    onChange({ provider, place: 0, group: '', texts: {}, references: {}, plain: {}, task })
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
          <input required autoComplete="off" spellCheck={false} value={draft.model} onChange={(event) => onChange({ model: event.target.value })} />
        </Field>
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

const SIZES: [string, string][] = [
  ['Small', 'Small: 4 concurrent requests'],
  ['Medium', 'Medium: 8 to 16'],
  ['Large', 'Large: 16 to 64'],
  ['', 'Provisioned concurrency of my own'],
]

function Hosted({ hosted, onChange }: {
  hosted: HostedDraft
  onChange: (change: Partial<HostedDraft>) => void
}): ReactNode {
  return (
    <>
      <div className="columns">
        <Field label="Entity" help="Full name of a registered model, such as main.ml.iris, or of a foundation model, such as system.ai.smollm2.">
          <input required autoComplete="off" spellCheck={false} value={hosted.entity} onChange={(event) => onChange({ entity: event.target.value })} />
        </Field>
        <Field label="Version" help="A version, or @ and an alias.">
          <input required autoComplete="off" value={hosted.version} onChange={(event) => onChange({ version: event.target.value })} />
        </Field>
        <Field label="Scale" help="How many requests are answered at a time.">
          <select value={hosted.size} onChange={(event) => onChange({ size: event.target.value })}>
            {SIZES.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
          </select>
        </Field>
        {hosted.size === '' && (
          <>
            <Field label="At least" help="Multiples of 4; 0 where it may scale to zero.">
              <input required type="number" min={0} step={4} value={hosted.least} onChange={(event) => onChange({ least: event.target.value })} />
            </Field>
            <Field label="Up to" help="Multiples of 4.">
              <input required type="number" min={4} step={4} value={hosted.most} onChange={(event) => onChange({ most: event.target.value })} />
            </Field>
          </>
        )}
        <Field label="Compute type" required={false} help="CPU, CPU_MEDIUM, CPU_LARGE, or one that the operator offers.">
          <input autoComplete="off" placeholder="CPU" value={hosted.type} onChange={(event) => onChange({ type: event.target.value })} />
        </Field>
      </div>
      <Check label="Scale to zero while nobody asks" checked={hosted.toZero} onChange={(toZero) => onChange({ toZero })} />
      <Field label="Environment variables" required={false} help="NAME=value, one a line; a value may be {{secrets/scope/key}}.">
        <textarea rows={3} spellCheck={false} value={hosted.variables} onChange={(event) => onChange({ variables: event.target.value })} />
      </Field>
    </>
  )
}
