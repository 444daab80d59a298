import { useMutation, useQuery } from '@tanstack/react-query'
import { type ReactNode, useEffect, useState } from 'react'
import { ApiError, signIn } from '../api'
import { Failure, Field } from '../kit'
import { lazily } from '../kit/Part'
import { goTo, signInMethods } from '../signIn'
import { NO_TLS, problemOf } from '../signInProblem'

const Snippets = lazily(() => import('../kit/Snippets').then((part) => part.Snippets))

/** @param error Why signing in at an issuer has failed, if it has. */
export function SignInPage({ error, onSignedIn }: { error: unknown; onSignedIn: () => void }): ReactNode {
  const [token, setText] = useState('')
  const begin = useMutation({
    mutationFn: () => signIn(token.trim()),
    onSuccess: onSignedIn,
  })
  const methods = useQuery({ queryKey: ['sign-in-methods'], queryFn: signInMethods, staleTime: Number.POSITIVE_INFINITY })
  const leave = useMutation({ mutationFn: goTo })
  useEffect(() => {
    document.title = 'Sign in · modelplane'
  }, [])
  // No browser keeps the cookie of such a page, and no token is to be sent from it.
  const plaintext = !isSecureContext
  const busy = begin.isPending || leave.isPending || plaintext
  return (
    <main className="sign-in">
      <div className="card">
        <h1><img src="./icon.svg" alt="" width={24} height={24} /> modelplane</h1>
        <p className="muted">Sign in with an access token of this deployment. <code>modelplane up</code> prints the administrator’s.</p>
        {plaintext && <div className="banner danger" role="alert"><strong>Use HTTPS.</strong> {NO_TLS}</div>}
        <Refused error={begin.error ?? leave.error ?? methods.error ?? error} />
        <form onSubmit={(event) => { event.preventDefault(); leave.reset(); begin.mutate() }}>
          <Field label="Access token" help="It begins a session of 12 hours at most, in a cookie that no script can read.">
            <input type="password" autoComplete="current-password" required autoFocus
              value={token} onChange={(event) => setText(event.target.value)} />
          </Field>
          <button className="primary block" type="submit" disabled={busy}>{begin.isPending ? 'Signing in …' : 'Sign in'}</button>
        </form>
        {methods.data !== undefined && methods.data.length > 0 && (
          <div className="issuers" role="group" aria-label="Or with an account">
            {methods.data.map(({ issuer, label }) => (
              <button key={issuer} type="button" className="block" title={issuer} disabled={busy} onClick={() => { begin.reset(); leave.mutate(issuer) }}>Sign in with {label}</button>
            ))}
          </div>
        )}
      </div>
    </main>
  )
}

/** Why nobody is signed in, with what helps where that is known. */
function Refused({ error }: { error: unknown }): ReactNode {
  const failure = error instanceof ApiError ? error : null
  const problem = failure && problemOf(failure)
  if (problem === null) return <Failure error={error} />
  const { title, help, user } = problem
  const id = failure?.requestId ?? ''
  return (
    <>
      <div className="banner danger" role="alert">
        <strong>{title}</strong> {help}
        {id !== '' && <small className="request-id">Request {id}</small>}
      </div>
      {user !== undefined && <Snippets request={{ method: 'POST', path: '/api/2.0/preview/scim/v2/Users', body: { userName: user } }} />}
    </>
  )
}
