/** Calls of the public API, as whoever signed in. */

/** A call of the API, which is also what *Copy as* shows. */
export interface ApiRequest {
  method: string
  path: string
  body?: unknown
}

/** What the API answered instead of a result. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId = '',
  ) {
    super(message)
  }
}

// Marks a call as one of these pages; with the session's cookie, which no script can read, it is the
// call of whoever signed in. No token is kept here.
const SESSION = { 'x-ui-session': '1' }
export const SESSIONS = '/api/2.0/ui/sessions'

// Whoever is told when a call finds that nobody is signed in any more.
let listener = (): void => undefined

/** Tell that nobody is signed in any more. */
export function signedOut(): void {
  listener()
}

export function whenSignedOut(next: () => void): void {
  listener = next
}

// Below any path that a proxy puts in front of `/ui/`.
const ROOT = new URL('..', new URL('.', document.baseURI)).pathname
/** Where scripts find the API, without a slash at the end. */
export const HOST = (location.origin + ROOT).replace(/\/$/, '')

/** Send a request and return the response, whatever its status. */
export async function send(request: ApiRequest, signal?: AbortSignal): Promise<Response> {
  return await sendAs(SESSION, request, signal)
}

/** Begin a session with an access token, which is forgotten with the call. */
export async function signIn(token: string): Promise<void> {
  const request = { method: 'POST', path: SESSIONS, body: {} }
  const response = await sendAs({ authorization: `Bearer ${token}` }, request)
  if (!response.ok) throw failureOf(response, await response.text())
}

/** Send a request as nobody, which is what those do who are not signed in, and return what its answer holds. */
export async function call<T>(request: ApiRequest): Promise<T> {
  const response = await sendAs({}, request)
  const text = await response.text()
  if (!response.ok) throw failureOf(response, text)
  return parsed(text) as T
}

/** End this session; the cookie is void on every worker when it returns. */
export async function signOut(): Promise<void> {
  await run({ method: 'DELETE', path: `${SESSIONS}/current` })
}

async function sendAs(who: Record<string, string>, request: ApiRequest, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { ...who }
  if (request.body !== undefined) headers['content-type'] = 'application/json'
  try {
    return await fetch(ROOT + request.path.replace(/^\//, ''), {
      method: request.method,
      headers,
      body: request.body === undefined ? null : JSON.stringify(request.body),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: signal ?? null,
    })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new ApiError(0, 'UNREACHABLE', 'The deployment cannot be reached. Try again in a moment.')
  }
}

/** Return the error that a response tells of. */
export function failureOf(response: Response, text: string): ApiError {
  const { error_code, message, detail } = parsed(text) as Record<string, string | undefined>
  if (response.status === 401) signedOut()
  return new ApiError(
    response.status,
    error_code ?? `HTTP ${response.status}`,
    message ?? detail ?? (text.slice(0, 500) || 'The deployment gave no reason.'),
    response.headers.get('x-request-id') ?? '',
  )
}

/** Send a request and return what its answer holds. */
export async function run<T>(request: ApiRequest): Promise<T> {
  const response = await send(request)
  const text = await response.text()
  if (!response.ok) throw failureOf(response, text)
  return parsed(text) as T
}

/** Read a text that is not JSON. */
export async function readText(path: string): Promise<string> {
  const response = await send({ method: 'GET', path })
  const text = await response.text()
  if (!response.ok) throw failureOf(response, text)
  return text
}

function parsed(text: string): unknown {
  try {
    return text === '' ? {} : JSON.parse(text)
  } catch {
    return {}
  }
}

export const get = <T>(path: string): Promise<T> => run<T>({ method: 'GET', path })

/** Return the parameters as a query, without those that are empty. */
export function query(parameters: Record<string, string | number | undefined>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== '')
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
  return text === '' ? '' : `?${text}`
}

export const ENDPOINTS = '/api/2.0/serving-endpoints'

export function endpointPath(name: string, rest = ''): string {
  return `${ENDPOINTS}/${encodeURIComponent(name)}${rest}`
}

export function queryPath(name: string, entity = ''): string {
  const served = entity === '' ? '' : `/served-models/${encodeURIComponent(entity)}`
  return `/serving-endpoints/${encodeURIComponent(name)}${served}/invocations`
}
