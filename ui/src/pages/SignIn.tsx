import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useEffect, useState } from 'react'
import { get, setToken } from '../api'
import { Failure, Field } from '../kit'

export function SignInPage({ onSignedIn }: { onSignedIn: () => void }): ReactNode {
  const [token, setText] = useState('')
  const signIn = useMutation({
    mutationFn: () => {
      setToken(token.trim())
      return get('/api/2.0/preview/scim/v2/Me')
    },
    onSuccess: onSignedIn,
    onError: () => setToken(''),
  })
  useEffect(() => {
    document.title = 'Sign in · modelplane'
  }, [])
  return (
    <main className="sign-in">
      <div className="card">
        <h1><img src="./icon.svg" alt="" width={24} height={24} /> modelplane</h1>
        <p className="muted">Sign in with an access token of this deployment. <code>modelplane up</code> prints the administrator’s.</p>
        <Failure error={signIn.error} />
        <form onSubmit={(event) => { event.preventDefault(); signIn.mutate() }}>
          <Field label="Access token" help="Kept in this page alone: reloading it signs you out.">
            <input type="password" autoComplete="current-password" required autoFocus
              value={token} onChange={(event) => setText(event.target.value)} />
          </Field>
          <button className="primary block" type="submit" disabled={signIn.isPending}>{signIn.isPending ? 'Signing in …' : 'Sign in'}</button>
        </form>
      </div>
    </main>
  )
}
