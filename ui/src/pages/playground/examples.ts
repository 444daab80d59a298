import { type ApiRequest, queryPath } from '../../api'
import type { Endpoint } from '../../types'

const EXAMPLES: Record<string, unknown> = {
  'llm/v1/chat': { messages: [{ role: 'user', content: 'What is a gateway?' }], max_tokens: 128 },
  'llm/v1/completions': { prompt: 'A gateway is', max_tokens: 64 },
  'llm/v1/embeddings': { input: 'What is a gateway?' },
}
const TABLE = { dataframe_split: { columns: ['a', 'b'], data: [[1, 2]] } }

export function exampleBody(task: string | undefined): unknown {
  return EXAMPLES[task ?? ''] ?? TABLE
}

/** A query that fits the task of an endpoint. */
export function exampleRequest(endpoint: Endpoint): ApiRequest {
  return { method: 'POST', path: queryPath(endpoint.name), body: exampleBody(endpoint.task) }
}
