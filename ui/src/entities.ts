/** What served entities are called, and what they get. Pure. */
import type { EndpointConfig, ServedEntity } from './types'

export const TASKS: Record<string, string> = {
  'llm/v1/chat': 'Chat',
  'llm/v1/completions': 'Completions',
  'llm/v1/embeddings': 'Embeddings',
}

export function shareOf(config: EndpointConfig | undefined, name: string): number {
  const routes = config?.traffic_config?.routes ?? []
  return routes.find((route) => (route.served_entity_name ?? route.served_model_name) === name)?.traffic_percentage ?? 0
}

export function modelOf(entity: ServedEntity): string {
  const model = entity.external_model
  return model ? `${model.provider} / ${model.name}` : `${entity.entity_name ?? ''} version ${entity.entity_version ?? ''}`
}
