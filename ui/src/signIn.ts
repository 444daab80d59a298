/** Signing in with an account at an outside issuer: there, and back again. */
import { ApiError, call } from './api'

export interface SignInMethod { issuer: string; label: string }
interface Pending { issuer: string; state: string; verifier: string; page: string }

const PATH = '/api/2.0/ui/sign-in'
// Outlives the way to the issuer, and no longer than this tab. It holds no token: the verifier is good
// for one code, which the issuer gives but to this browser.
const KEPT = 'sign-in'

export async function signInMethods(): Promise<SignInMethod[]> {
  return (await call<{ methods?: SignInMethod[] }>({ method: 'GET', path: `${PATH}/methods` })).methods ?? []
}

/** Go to the issuer, which leads back here. */
export async function goTo(issuer: string): Promise<void> {
  const [state, verifier] = [random(), random()]
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
  const body = { issuer, state, code_challenge: encoded(new Uint8Array(digest)) }
  const { authorization_url: url } = await call<{ authorization_url: string }>({ method: 'POST', path: `${PATH}/begin`, body })
  const pending: Pending = { issuer, state, verifier, page: location.hash }
  sessionStorage.setItem(KEPT, JSON.stringify(pending))
  location.assign(url)
}

/**
 * Begin the session if this is the way back from an issuer.
 *
 * @returns Why that cannot be done; null: it is done, or this is no way back.
 */
export async function comeBack(): Promise<unknown> {
  const told = new URLSearchParams(location.search)
  const [state, code, error] = ['state', 'code', 'error'].map((name) => told.get(name))
  if (!state || (!code && !error)) return null
  const kept = sessionStorage.getItem(KEPT)
  sessionStorage.removeItem(KEPT)
  const pending = kept === null ? null : JSON.parse(kept) as Pending
  // The code stays in no history.
  history.replaceState(null, '', location.pathname + (pending?.page ?? ''))
  // Else a foreign page could sign its own user in here.
  if (pending === null || pending.state !== state) return new ApiError(0, 'SIGN_IN', 'This browser has not asked for that. Sign in again.')
  if (!code) return new ApiError(0, 'SIGN_IN', `The issuer has not let you in: ${error}.`)
  const body = { issuer: pending.issuer, code, code_verifier: pending.verifier }
  return await call({ method: 'POST', path: `${PATH}/complete`, body }).then(() => null, (failure: unknown) => failure)
}

function random(): string {
  return encoded(crypto.getRandomValues(new Uint8Array(32)))
}

/** Base64url without padding. */
function encoded(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}
