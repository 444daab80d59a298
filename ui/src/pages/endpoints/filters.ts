/** What the list of endpoints is narrowed to, as its address has it. Pure. */
import { flag, oneOf, text, type Values } from '../../address'
import { TASKS } from '../../entities'
import providers from '../../provider_names.gen.json'
import type { Endpoint } from '../../types'
import { ORDERS } from './order'

// What the deployment is asked for, by what is chosen.
const ASKED: Record<string, Record<string, string>> = {
  Ready: { ready: 'READY' },
  'Not Ready': { ready: 'NOT_READY' },
  Updating: { config_update: 'IN_PROGRESS' },
  'Update failed': { config_update: 'UPDATE_FAILED' },
  'Update canceled': { config_update: 'UPDATE_CANCELED' },
}
export const STATES = Object.keys(ASKED)
/** Whoever runs a model here is a provider to the list alone. */
export const PROVIDERS = [...providers, 'hosted']
export const MOST_SEARCHED = 63
// A key of 127, `=` and a value of 255.
export const MOST_TAG = 383

export const FILTERS = {
  search: text(MOST_SEARCHED),
  state: oneOf(STATES, ''),
  task: oneOf(Object.keys(TASKS), ''),
  provider: oneOf(PROVIDERS, ''),
  tag: text(MOST_TAG),
  mine: flag,
}
export const PARAMETERS = { ...FILTERS, order: oneOf(ORDERS, '') }
export type Filters = Values<typeof FILTERS>
export const NONE: Filters = { search: '', state: '', task: '', provider: '', tag: '', mine: false }

/** What a filter is called where it stands alone. */
export const TITLES: Record<keyof Filters, string> = {
  search: 'Search', state: 'State', task: 'Task', provider: 'Provider', tag: 'Tag', mine: 'Mine',
}

export function namesOf(filters: Filters): (keyof Filters)[] {
  return (Object.keys(TITLES) as (keyof Filters)[]).filter((name) => filters[name] !== NONE[name])
}

/** Parameters of the list; the text is searched for by the deployment alone where the list is long. */
export function asked(filters: Filters, long: boolean, me: string): Record<string, string | undefined> {
  const { search, state, task, provider, tag, mine } = filters
  return { search: long ? search.trim() : '', ...ASKED[state], task, provider, tag: tag.trim(), creator: mine ? me : '' }
}

/** Whether a text is in the name, a tag or a model of an endpoint, whatever its case. */
export function matches(endpoint: Endpoint, wanted: string): boolean {
  const entities = endpoint.config?.served_entities ?? []
  const all = [
    endpoint.name,
    ...(endpoint.tags ?? []).flatMap(({ key, value }) => [key, value ?? '']),
    ...entities.flatMap((entity) => [entity.name, entity.entity_name ?? '', entity.external_model?.name ?? '']),
  ].join('\n').toLowerCase()
  return all.includes(wanted.trim().toLowerCase())
}
