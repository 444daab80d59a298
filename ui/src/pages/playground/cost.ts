/** What an answer cost, by the prices that are set. Pure. */
import type { ServedEntity } from '../../types'
import type { Usage } from './answer'

export interface Price {
  provider: string
  model: string
  input_per_million: string
  output_per_million: string
  cached_input_per_million?: string
  currency: string
  from_time?: number
}

const MILLION = 1_000_000

/** The cost of an answer that comes now; null: its model has no price, or its tokens are not known. */
export function costOf(prices: readonly Price[], entity: ServedEntity | undefined, usage: Usage | undefined, now: number): { cost: number; currency: string } | null {
  if (entity === undefined || usage === undefined) return null
  const { provider, name } = entity.external_model ?? { provider: 'hosted', name: entity.entity_name }
  const [price] = prices
    .filter((one) => one.provider === provider && one.model === name && (one.from_time ?? 0) <= now)
    .sort((one, other) => (other.from_time ?? 0) - (one.from_time ?? 0))
  if (price === undefined) return null
  const { prompt_tokens: input = 0, completion_tokens: output = 0 } = usage
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0
  const cost = (input - cached) * Number(price.input_per_million)
    + cached * Number(price.cached_input_per_million ?? price.input_per_million)
    + output * Number(price.output_per_million)
  return { cost: cost / MILLION, currency: price.currency }
}
