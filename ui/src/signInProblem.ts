/** Why somebody is not signed in, and what helps. Pure. */
import type { ApiError } from './api'

export interface Problem {
  title: string
  help: string
  /** Whom an administrator has to create; absent: that would not help. */
  user?: string
}

const NO_USER = /^'(.+)' is no active user here\b/
const INACTIVE = /owner is not active/
// What Envoy says where nobody is behind it; an issuer that does not answer is another matter.
const AWAY = /^The (service is not available|server did not answer)/

/** What to tell of a refusal; null: what it says is all that is known. */
export function problemOf({ status, message, code }: Pick<ApiError, 'status' | 'message' | 'code'>): Problem | null {
  const [, user] = NO_USER.exec(message) ?? []
  if (status === 403 && user !== undefined) {
    return { title: `${user} is not a user of this deployment, or not an active one.`, help: 'An administrator creates users on the page Identity, or so:', user }
  }
  if (status === 401 && INACTIVE.test(message)) {
    return { title: 'The owner of this token is not a user of this deployment, or not an active one.', help: 'An administrator activates users on the page Identity. Who is missing is created there, or so:', user: 'NAME' }
  }
  if (status === 401 && code !== 'SIGN_IN') {
    return { title: message, help: 'Others make one on their page Account; an administrator makes one for you on the page Identity.' }
  }
  if (status === 0 && code === 'UNREACHABLE') return { title: 'The deployment cannot be reached.', help: 'Try again in a moment.' }
  if (AWAY.test(message)) {
    return { title: 'The control plane does not answer.', help: 'Nobody signs in meanwhile; queries go on, as long as workers run. Try again in a moment.' }
  }
  return null
}

export const NO_TLS = 'This address has no TLS, so that a token would go over the network in the clear. Use the https:// address of this deployment; its operator sets that up with --public-tls-cert, or with a proxy. On the machine itself http://localhost does.'
