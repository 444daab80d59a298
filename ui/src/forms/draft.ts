/** What somebody has filled in for a served entity, and the configuration that it means. Pure. */
import { shareOf } from '../entities'
import type { EndpointConfig, Route, ServedEntity } from '../types'
import { caseOf, controls, groups, type ProviderForm, PROVIDERS, providerForm } from './cases'

export interface EntityDraft {
  id: number
  kind: 'external' | 'hosted'
  name: string
  share: number
  provider: string
  place: number
  group: string
  model: string
  task: string
  /** Texts by the path of their control; of a secret, the plaintext. */
  texts: Record<string, string>
  /** References to secrets, as `scope/key`, by the path of their control. */
  references: Record<string, string>
  /** Which secrets are given as plaintext. */
  plain: Record<string, boolean>
  /** Which secrets stay as they are: given as plaintext before, and never returned. */
  kept: Record<string, boolean>
  hosted: HostedDraft
}
export interface HostedDraft {
  entity: string
  version: string
  /** A workload size, or how else it is said how much is provisioned. */
  size: string
  type: string
  least: string
  most: string
  units: string
  burst: boolean
  toZero: boolean
  variables: string
}

/** Instead of a workload size: concurrency, tokens per second, model units. */
export const CONCURRENCY = ''
export const TOKENS = 'tokens'
export const UNITS = 'units'

export function newDraft(id: number, share: number, task = 'llm/v1/chat'): EntityDraft {
  const form = PROVIDERS[0]
  return {
    id, kind: 'external', name: '', share, provider: form?.provider ?? '', place: 0, group: '', model: '', task,
    texts: {}, references: {}, plain: {}, kept: {},
    hosted: { entity: '', version: '', size: 'Small', type: '', least: '', most: '', units: '', burst: false, toZero: true, variables: '' },
  }
}

/** Return the draft that an entity of a configuration is made from; plaintexts are never returned. */
export function draftOf(entity: ServedEntity, id: number, share: number): EntityDraft {
  const draft = { ...newDraft(id, share), name: entity.name }
  const model = entity.external_model
  if (model === undefined) return { ...draft, kind: 'hosted', hosted: hostedOf(entity) }
  const form = providerForm(model.provider)
  if (form === undefined) return draft
  const config = (model[form.config_field] ?? {}) as Record<string, unknown>
  const place = caseOf(form, config)
  const group = groups(form, place).find((name) => config[name] !== undefined) ?? ''
  const texts: Record<string, string> = {}
  const references: Record<string, string> = {}
  const kept: Record<string, boolean> = {}
  for (const { path, field, required } of controls(form, place, group)) {
    const value = at(config, path)
    if (value === undefined) {
      if (field.secret && required) kept[path] = true
      continue
    }
    if (field.secret) references[path] = referred(String(value))
    else texts[path] = String(value)
  }
  return { ...draft, provider: model.provider, place, group, model: model.name, task: model.task, texts, references, kept }
}

function hostedOf(entity: ServedEntity): HostedDraft {
  const tokens = entity.max_provisioned_throughput !== undefined
  return {
    entity: entity.entity_name ?? '',
    version: String(entity.entity_version ?? ''),
    size: sizeOf(entity),
    type: entity.workload_type ?? '',
    least: String((tokens ? entity.min_provisioned_throughput : entity.min_provisioned_concurrency) ?? ''),
    most: String((tokens ? entity.max_provisioned_throughput : entity.max_provisioned_concurrency) ?? ''),
    units: String(entity.provisioned_model_units ?? ''),
    // No answer tells it.
    burst: false,
    toZero: entity.scale_to_zero_enabled ?? false,
    variables: Object.entries(entity.environment_vars ?? {}).map(([name, value]) => `${name}=${value}`).join('\n'),
  }
}

function sizeOf(entity: ServedEntity): string {
  if (entity.provisioned_model_units !== undefined) return UNITS
  if (entity.max_provisioned_throughput !== undefined) return TOKENS
  return entity.workload_size ?? (entity.max_provisioned_concurrency === undefined ? 'Small' : CONCURRENCY)
}

const REFERENCE = /^\{\{secrets\/(.+)\/(.+)\}\}$/

function referred(text: string): string {
  const [, scope = '', key = ''] = REFERENCE.exec(text) ?? []
  return scope === '' ? '' : `${scope}/${key}`
}

function at(config: Record<string, unknown>, path: string): unknown {
  const [first = '', second] = path.split('.')
  const found = config[first]
  return second === undefined ? found : (found as Record<string, unknown> | undefined)?.[second]
}

/** Return the provider's configuration; what the alternative hides is left out. */
export function providerConfig(form: ProviderForm, draft: EntityDraft): Record<string, unknown> {
  const config: Record<string, unknown> = {}
  const chosen = form.cases[draft.place]
  const value = chosen?.values.find((item) => item !== '')
  if (chosen !== undefined && value !== undefined && !chosen.values.includes('')) config[chosen.field] = value
  for (const { path, field } of controls(form, draft.place, draft.group)) {
    const [name, text] = field.secret ? secretValue(path, draft) : [path, draft.texts[path]?.trim() ?? '']
    if (text !== '') put(config, name, text)
  }
  return config
}

function secretValue(path: string, draft: EntityDraft): [string, string] {
  if (draft.kept[path]) return [path, '']
  if (draft.plain[path]) return [`${path}_plaintext`, draft.texts[path] ?? '']
  const reference = draft.references[path] ?? ''
  return [path, reference === '' ? '' : `{{secrets/${reference}}}`]
}

function put(config: Record<string, unknown>, path: string, value: string): void {
  const [first = '', second] = path.split('.')
  if (second === undefined) config[first] = value
  else config[first] = { ...(config[first] as object | undefined), [second]: value }
}

/** The name that the API gives an entity that has none of its own. */
export function defaultName(draft: EntityDraft): string {
  const name = draft.kind === 'external'
    ? draft.model.trim()
    : [draft.hosted.entity, draft.hosted.version].filter((part) => part !== '').join('-')
  return name.replace(/[^A-Za-z0-9_-]/g, '-').slice(0, 63)
}

export function entityOf(draft: EntityDraft): Record<string, unknown> {
  const name = draft.name.trim() || defaultName(draft)
  if (draft.kind === 'hosted') return { name, ...hostedFields(draft.hosted) }
  const form = providerForm(draft.provider)
  const config = form === undefined ? {} : { [form.config_field]: providerConfig(form, draft) }
  return { name, external_model: { name: draft.model.trim(), provider: draft.provider, task: draft.task, ...config } }
}

function hostedFields(hosted: HostedDraft): Record<string, unknown> {
  const fields: Record<string, unknown> = { entity_name: hosted.entity.trim(), entity_version: hosted.version.trim() }
  Object.assign(fields, provisioned(hosted))
  if (hosted.type.trim() !== '') fields.workload_type = hosted.type.trim()
  fields.scale_to_zero_enabled = hosted.toZero
  const variables = variablesOf(hosted.variables)
  if (Object.keys(variables).length > 0) fields.environment_vars = variables
  return fields
}

function provisioned(hosted: HostedDraft): Record<string, unknown> {
  const [least, most] = [Number(hosted.least), Number(hosted.most)]
  switch (hosted.size) {
    case CONCURRENCY: return { min_provisioned_concurrency: least, max_provisioned_concurrency: most }
    case TOKENS: return { min_provisioned_throughput: least, max_provisioned_throughput: most }
    case UNITS: return { provisioned_model_units: Number(hosted.units), ...(hosted.burst ? { burst_scaling_enabled: true } : {}) }
    default: return { workload_size: hosted.size }
  }
}

export function variablesOf(text: string): Record<string, string> {
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  return Object.fromEntries(lines.map((line) => {
    const place = line.indexOf('=')
    return place < 0 ? [line.trim(), ''] : [line.slice(0, place).trim(), line.slice(place + 1).trim()]
  }))
}

/** Whether a credential that is shown stays as it is. */
function keeps(draft: EntityDraft | undefined): boolean {
  const form = draft?.kind === 'external' ? providerForm(draft.provider) : undefined
  if (draft === undefined || form === undefined) return false
  return controls(form, draft.place, draft.group).some(({ path }) => draft.kept[path])
}

export function configOf(drafts: readonly EntityDraft[]): Record<string, unknown> {
  const entities = drafts.map(entityOf)
  const routes: Route[] = entities.map((entity, place) => ({
    served_model_name: String(entity.name),
    traffic_percentage: drafts[place]?.share ?? 0,
  }))
  const keeping = entities.filter((_, place) => keeps(drafts[place])).map(({ name }) => String(name))
  return { served_entities: entities, traffic_config: { routes }, ...(keeping.length > 0 ? { keep_credentials_of: keeping } : {}) }
}

export function draftsOf(config: EndpointConfig | undefined): EntityDraft[] {
  return (config?.served_entities ?? []).map((entity, place) =>
    draftOf(entity, place + 1, shareOf(config, entity.name)))
}

const MOST_STEPS = 256
const LISTED_STEPS = 16

/** The multiples of a chunk that are offered: each of the first ones, then doubled, and what is chosen already. */
export function stepsOf(chunk: number, chosen: number): number[] {
  const counts = Array.from({ length: LISTED_STEPS }, (_, place) => place + 1)
  for (let count = LISTED_STEPS * 2; count <= MOST_STEPS; count *= 2) counts.push(count)
  const all = counts.map((count) => count * chunk)
  return [...new Set([...all, ...(chosen > 0 ? [chosen] : [])])].sort((one, other) => one - other)
}
