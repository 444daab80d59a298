/**
 * What the form of a provider shows and requires, from the rules of its configuration message.
 *
 * `providers.gen.json` is made of the protos by `provider_forms.py`. Pure.
 */
import generated from '../providers.gen.json'

export interface FormField {
  name: string
  description: string
  secret: boolean
  fields: FormField[]
}
export interface ProviderCase {
  field: string
  values: string[]
  required: string[]
  credentials: string[]
  one_of: string[]
  allowed: Partial<Record<string, string[]>>
  json: string[]
  unused: string[]
}
export interface ProviderForm {
  provider: string
  config_field: string
  description: string
  tasks: string[]
  fields: FormField[]
  cases: ProviderCase[]
  examples: Partial<Record<string, string>>
  model_name: string
  /** Names of models, by the task that they serve. */
  suggested_models: Partial<Record<string, string[]>>
}
export const PROVIDERS: ProviderForm[] = generated

/** A control of the form; `path` has a dot for a field inside a group. */
export interface Control {
  path: string
  field: FormField
  required: boolean
  choices: string[]
  json: boolean
}

export function providerForm(provider: string): ProviderForm | undefined {
  return PROVIDERS.find((form) => form.provider === provider)
}

/** What an alternative is called: the value that selects it, or what it asks for. */
export function caseLabel(form: ProviderForm, place: number): string {
  const found = form.cases[place]
  if (found === undefined) return ''
  const value = found.values.find((item) => item !== '')
  if (value !== undefined) return value
  return found.field !== '' ? found.field : found.credentials.join(', ')
}

/** The groups of which one has to be chosen, if there are any. */
export function groups(form: ProviderForm, place: number): string[] {
  return form.cases[place]?.one_of ?? []
}

/** The controls of one alternative, those that are required first. */
export function controls(form: ProviderForm, place: number, group: string): Control[] {
  const chosen = form.cases[place]
  if (chosen === undefined) return []
  const shown = form.fields.filter((field) => isShown(form, chosen, field, group))
  const all = shown.flatMap((field) =>
    field.fields.length === 0
      ? [control(chosen, field, field.name, isRequired(chosen, field.name))]
      : field.fields.map((inner) => control(chosen, inner, `${field.name}.${inner.name}`, true)),
  )
  return [...all.filter(({ required }) => required), ...all.filter(({ required }) => !required)]
}

function control(chosen: ProviderCase, field: FormField, path: string, required: boolean): Control {
  return { path, field, required, choices: chosen.allowed[path] ?? [], json: chosen.json.includes(path) }
}

function isRequired(chosen: ProviderCase, name: string): boolean {
  return chosen.required.includes(name) || chosen.credentials.includes(name)
    || (chosen.field === name && chosen.values.length === 0)
}

function isShown(form: ProviderForm, chosen: ProviderCase, field: FormField, group: string): boolean {
  const { name } = field
  if (chosen.unused.includes(name)) return false
  if (field.fields.length > 0) return chosen.one_of.includes(name) ? name === group : true
  if (isRequired(chosen, name)) return true
  // Set by the choice of the alternative, or what another alternative is known by.
  if (form.cases.some((other) => other.field === name)) return false
  if (form.cases.some((other) => other.credentials.includes(name))) return false
  return !field.secret || chosen.credentials.length > 0
}

/** The alternative that a configuration is of. */
export function caseOf(form: ProviderForm, config: Record<string, unknown>): number {
  const place = form.cases.findIndex(({ field, values }) => {
    if (field === '') return true
    const value = String(config[field] ?? '').toLowerCase()
    return values.length === 0 ? value !== '' : values.includes(value)
  })
  return Math.max(0, place)
}
