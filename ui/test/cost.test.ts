import { expect, test } from 'vitest'
import { costOf, type Price } from '../src/pages/playground/cost'

const price = (more: Partial<Price>): Price => ({ provider: 'openai', model: 'gpt', input_per_million: '2', output_per_million: '10', currency: 'USD', ...more })
const entity = { name: 'e', external_model: { name: 'gpt', provider: 'openai', task: 'llm/v1/chat' } }
const usage = { prompt_tokens: 1000, completion_tokens: 100, prompt_tokens_details: { cached_tokens: 400 } }

test('an answer costs what the price of its model is now', () => {
  const later = price({ from_time: 100, input_per_million: '4', cached_input_per_million: '1' })
  expect(costOf([later, price({})], entity, usage, 99)).toEqual({ cost: 0.003, currency: 'USD' })
  expect(costOf([price({}), later], entity, usage, 100)?.cost).toBeCloseTo(0.0038, 12)
})

test('nothing is said of what has no price or no tokens', () => {
  expect(costOf([price({ model: 'other' })], entity, usage, 0)).toBeNull()
  expect(costOf([price({})], entity, undefined, 0)).toBeNull()
  expect(costOf([price({})], undefined, usage, 0)).toBeNull()
})

test('a model that is hosted here has a price by its name in the registry', () => {
  const hosted = price({ provider: 'hosted', model: 'system.ai.small' })
  expect(costOf([hosted], { name: 'e', entity_name: 'system.ai.small' }, usage, 0)?.cost).toBe(0.003)
})
