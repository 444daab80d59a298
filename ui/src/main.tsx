import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { type ReactNode, StrictMode, useCallback, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { Router } from 'wouter'
import { ApiError, get, whenSignedOut } from './api'
import { Failure } from './kit'
import { usePath } from './kit/useAddress'
import { SignInPage } from './pages/SignIn'
import { Shell } from './Shell'
import { comeBack } from './signIn'
import './styles/base.css'
import './styles/parts.css'
import './styles/charts.css'
import './styles/changes.css'

const LOOK_AGAIN_MS = 5000
const cameBack = comeBack()

function App({ queries }: { queries: QueryClient }): ReactNode {
  // Null until the deployment has said whether there is a session already.
  const [signedIn, setSignedIn] = useState<boolean | null>(null)
  const [error, setError] = useState<unknown>(null)
  const look = useCallback(() => {
    get('/api/2.0/preview/scim/v2/Me').then(
      () => { setError(null); setSignedIn(true) },
      (failure: unknown) => {
        // Whoever cannot be asked has not said that nobody is signed in.
        const said = failure instanceof ApiError && failure.status >= 400 && failure.status < 500
        if (said) setSignedIn(false)
        else { setError(failure); setTimeout(look, LOOK_AGAIN_MS) }
      },
    )
  }, [])
  useEffect(() => {
    whenSignedOut(() => {
      queries.clear()
      setSignedIn(false)
    })
    void cameBack.then((failure) => {
      if (failure === null) return look()
      setError(failure)
      setSignedIn(false)
    })
  }, [queries, look])
  if (signedIn === null) return error === null ? null : <main><h1>modelplane</h1><Failure error={error} /></main>
  if (!signedIn) return <SignInPage error={error} onSignedIn={() => { setError(null); setSignedIn(true) }} />
  return <Router hook={usePath}><Shell /></Router>
}

const queries = new QueryClient({
  defaultOptions: { queries: { retry: false, staleTime: 2000, refetchOnWindowFocus: false } },
})
const root = document.getElementById('root')
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}><App queries={queries} /></QueryClientProvider>
    </StrictMode>,
  )
}
