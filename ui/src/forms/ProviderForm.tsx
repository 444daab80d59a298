import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useId, useState } from 'react'
import { get, query } from '../api'
import { Field } from '../kit'
import { caseLabel, type Control, controls, groups, type ProviderForm } from './cases'
import type { EntityDraft } from './draft'
import { NewSecret } from './NewSecret'

/** All controls of a provider's configuration. */
export function ProviderFields({ form, draft, onChange }: {
  form: ProviderForm
  draft: EntityDraft
  onChange: (change: Partial<EntityDraft>) => void
}): ReactNode {
  const options = groups(form, draft.place)
  const group = options.includes(draft.group) ? draft.group : ''
  return (
    <>
      {form.cases.length > 1 && (
        <Choice label="Connect by" names={form.cases.map((_, place) => caseLabel(form, place))} chosen={draft.place}
          onChoose={(place) => onChange({ place })} />
      )}
      {options.length > 0 && (
        <Choice label="Authenticate by" names={options} chosen={options.indexOf(group)}
          onChoose={(place) => onChange({ group: options[place] ?? '' })} />
      )}
      <div className="columns">
        {controls(form, draft.place, group).map((control) =>
          control.field.secret
            ? <SecretField key={control.path} control={control} draft={draft} onChange={onChange} />
            : <TextField key={control.path} control={control} example={form.examples[control.path]} draft={draft} onChange={onChange} />)}
      </div>
    </>
  )
}

function Choice({ label, names, chosen, onChoose }: {
  label: string
  names: string[]
  chosen: number
  onChoose: (place: number) => void
}): ReactNode {
  const group = useId()
  return (
    <fieldset className="choice">
      <legend>{label}</legend>
      {names.map((name, place) => (
        <label key={name} className="check">
          <input type="radio" name={group} required checked={place === chosen} onChange={() => onChoose(place)} />{words(name)}
        </label>
      ))}
    </fieldset>
  )
}

export function words(name: string): string {
  const text = name.split('.').at(-1)?.replaceAll('_', ' ') ?? ''
  const spelled = text.replace(/\b(openai|azuread|api|url|aws|id|ai21labs|arn)\b/g, (word) =>
    ({ openai: 'OpenAI', ai21labs: 'AI21 Labs', azuread: 'Microsoft Entra ID' })[word] ?? word.toUpperCase())
  return spelled.charAt(0).toUpperCase() + spelled.slice(1)
}

interface ControlProps {
  control: Control
  draft: EntityDraft
  onChange: (change: Partial<EntityDraft>) => void
}

function TextField({ control, example, draft, onChange }: ControlProps & { example: string | undefined }): ReactNode {
  const { path, field, required, choices } = control
  const set = (text: string): void => onChange({ texts: { ...draft.texts, [path]: text } })
  const help = example === undefined ? field.description : `${field.description} It must be ${example}.`
  return (
    <Field label={words(path)} help={help} required={required}>
      {choices.length > 0
        ? (
          <select value={draft.texts[path] ?? ''} onChange={(event) => set(event.target.value)}>
            <option value="">Choose …</option>
            {choices.map((choice) => <option key={choice}>{choice}</option>)}
          </select>
        )
        : <input autoComplete="off" spellCheck={false} value={draft.texts[path] ?? ''} onChange={(event) => set(event.target.value)} />}
    </Field>
  )
}

function SecretField({ control, draft, onChange }: ControlProps): ReactNode {
  const { path, field, required, json } = control
  const [creating, setCreating] = useState(false)
  const plain = draft.plain[path] ?? false
  const reference = (text: string): void => onChange({ references: { ...draft.references, [path]: text } })
  const more = json ? ' The whole key file, as JSON.' : ''
  if (draft.kept[path]) {
    return (
      <div className="secret">
        <Field label={words(path)} help="Given as a value before, which cannot be read back. It stays as it is.">
          <input readOnly value="kept" />
        </Field>
        <div className="under">
          <button type="button" className="link" onClick={() => onChange({ kept: { ...draft.kept, [path]: false } })}>Replace</button>
        </div>
      </div>
    )
  }
  return (
    <div className="secret">
      {plain
        ? (
          <Field label={words(path)} required={required}
            help={<><span className="warning">Cannot be read back.</span> It is stored sealed; a later change of the entities needs it again.{more}</>}>
            <input type="password" autoComplete="off" value={draft.texts[path] ?? ''}
              onChange={(event) => onChange({ texts: { ...draft.texts, [path]: event.target.value } })} />
          </Field>
        )
        : <ReferenceField label={words(path)} help={field.description + more} required={required} value={draft.references[path] ?? ''} onChange={reference} />}
      <div className="under">
        {!plain && <button type="button" className="link" onClick={() => setCreating(true)}>Create secret</button>}
        <button type="button" className="link" onClick={() => onChange({ plain: { ...draft.plain, [path]: !plain } })}>
          {plain ? 'Use a secret' : 'Give the value here'}
        </button>
      </div>
      {creating && <NewSecret onClose={() => setCreating(false)} onCreated={reference} />}
    </div>
  )
}

/** A scope and a key in it, of those that there are. */
function ReferenceField({ label, help, required, value, onChange }: {
  label: string
  help: string
  required: boolean
  value: string
  onChange: (reference: string) => void
}): ReactNode {
  const list = useId()
  const scopes = useQuery({
    queryKey: ['scopes'],
    queryFn: () => get<{ scopes?: { name: string }[] }>('/api/2.0/secrets/scopes/list'),
  })
  const scope = value.includes('/') ? value.slice(0, value.indexOf('/')) : value
  const known = scopes.data?.scopes?.some(({ name }) => name === scope) ?? false
  const keys = useQuery({
    queryKey: ['keys', scope],
    queryFn: () => get<{ secrets?: { key: string }[] }>(`/api/2.0/secrets/list${query({ scope })}`),
    enabled: known,
  })
  const choices = known
    ? (keys.data?.secrets ?? []).map(({ key }) => `${scope}/${key}`)
    : (scopes.data?.scopes ?? []).map(({ name }) => `${name}/`)
  return (
    <>
      <Field label={label} help={help} required={required}>
        <input list={list} autoComplete="off" spellCheck={false} placeholder="scope/key" pattern="[^\/]+\/[^\/]+"
          title="A scope and a key, with a slash between them" value={value} onChange={(event) => onChange(event.target.value)} />
      </Field>
      <datalist id={list}>{choices.map((choice) => <option key={choice} value={choice} />)}</datalist>
    </>
  )
}
