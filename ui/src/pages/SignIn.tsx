import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useEffect, useState } from 'react'
import { signIn } from '../api'
import { Failure, Field } from '../kit'

export function SignInPage({ onSignedIn }: { onSignedIn: () => void }): ReactNode {
  const [token, setText] = useState('')
  const begin = useMutation({
    mutationFn: () => signIn(token.trim()),
    onSuccess: onSignedIn,
  })
  useEffect(() => {
    document.title = 'Sign in · modelplane'
  }, [])
  return (
    <main className="sign-in">
      <div className="card">
        <h1><img src="./icon.svg" alt="" width={24} height={24} /> modelplane</h1>
        <p className="muted">Sign in with an access token of this deployment. <code>modelplane up</code> prints the administrator’s.</p>
        <Failure error={begin.error} />
        <form onSubmit={(event) => { event.preventDefault(); begin.mutate() }}>
          <Field label="Access token" help="It begins a session of 12 hours at most, in a cookie that no script can read.">
            <input type="password" autoComplete="current-password" required autoFocus
              value={token} onChange={(event) => setText(event.target.value)} />
          </Field>
          <button className="primary block" type="submit" disabled={begin.isPending}>{begin.isPending ? 'Signing in …' : 'Sign in'}</button>
        </form>
      </div>
    </main>
  )
}
