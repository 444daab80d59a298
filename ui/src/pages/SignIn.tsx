import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { listEndpoints, setToken } from '../api'
import { Failure, Field } from '../kit'

export function SignInPage({ onSignedIn }: { onSignedIn: () => void }): ReactNode {
  const [token, setText] = useState('')
  const signIn = useMutation({
    mutationFn: () => {
      setToken(token.trim())
      return listEndpoints()
    },
    onSuccess: onSignedIn,
    onError: () => setToken(''),
  })
  return (
    <main className="narrow">
      <h1>Sign in</h1>
      <Failure error={signIn.error} />
      <form onSubmit={(event) => { event.preventDefault(); signIn.mutate() }}>
        <Field label="Access token" help="Kept in this page alone: reloading it signs you out.">
          <input type="password" autoComplete="current-password" required autoFocus
            value={token} onChange={(event) => setText(event.target.value)} />
        </Field>
        <button className="primary" type="submit" disabled={signIn.isPending}>Sign in</button>
      </form>
    </main>
  )
}
