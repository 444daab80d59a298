/** Calls of the public API, with the access token of whoever signed in. */

export interface ServedEntity {
  name: string
  entity_name?: string
  entity_version?: string
  external_model?: { name: string; provider: string; task: string }
  state?: { deployment?: string; deployment_state_message?: string }
}
export interface Route {
  served_model_name?: string
  served_entity_name?: string
  traffic_percentage: number
}
export interface EndpointConfig {
  served_entities?: ServedEntity[]
  traffic_config?: { routes?: Route[] }
  config_version?: number
}
export interface Endpoint {
  name: string
  id?: string
  creator?: string
  last_updated_timestamp?: number
  task?: string
  description?: string
  permission_level?: string
  state?: { ready?: string; config_update?: string; config_update_message?: string }
  config?: EndpointConfig
  pending_config?: EndpointConfig
}
export interface ConfigVersion {
  config_version: number
  outcome: string
  outcome_message?: string
  creator?: string
  creation_timestamp?: number
}
export interface Difference {
  path: string
  from_value?: string
  to_value?: string
}

/** What the API answered instead of a result. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message)
  }
}

// In memory only: no storage that another script, or the next user of this computer, could read.
let token = ''

export function setToken(value: string): void {
  token = value
}

// Below any path that a proxy puts in front of `/ui/`.
const ROOT = new URL('..', new URL('.', document.baseURI)).pathname

export async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { authorization: `Bearer ${token}` }
  if (body !== undefined) headers['content-type'] = 'application/json'
  let response: Response
  try {
    response = await fetch(ROOT + path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      credentials: 'omit',
      cache: 'no-store',
    })
  } catch {
    throw new ApiError(0, 'UNREACHABLE', 'The deployment cannot be reached. Try again in a moment.')
  }
  const text = await response.text()
  let answer: unknown
  try {
    answer = text === '' ? {} : JSON.parse(text)
  } catch {
    answer = {}
  }
  if (response.ok) return answer as T
  const { error_code, message } = answer as { error_code?: string; message?: string }
  throw new ApiError(
    response.status,
    error_code ?? `HTTP ${response.status}`,
    message ?? (text.slice(0, 500) || 'The deployment gave no reason.'),
  )
}

const ENDPOINTS = 'api/2.0/serving-endpoints'

export function endpointPath(name: string, rest = ''): string {
  return `${ENDPOINTS}/${encodeURIComponent(name)}${rest}`
}

export const listEndpoints = (): Promise<{ endpoints?: Endpoint[] }> => call('GET', ENDPOINTS)
export const getEndpoint = (name: string): Promise<Endpoint> => call('GET', endpointPath(name))
export const createEndpoint = (body: unknown): Promise<Endpoint> => call('POST', ENDPOINTS, body)
