import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { type ReactNode, StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { Router } from 'wouter'
import { useHashLocation } from 'wouter/use-hash-location'
import { get, whenSignedOut } from './api'
import { SignInPage } from './pages/SignIn'
import { Shell } from './Shell'
import './styles/base.css'
import './styles/parts.css'

function App({ queries }: { queries: QueryClient }): ReactNode {
  // Null until the deployment has said whether there is a session already.
  const [signedIn, setSignedIn] = useState<boolean | null>(null)
  useEffect(() => {
    whenSignedOut(() => {
      queries.clear()
      setSignedIn(false)
    })
    get('/api/2.0/preview/scim/v2/Me').then(() => setSignedIn(true), () => setSignedIn(false))
  }, [queries])
  if (signedIn === null) return null
  if (!signedIn) return <SignInPage onSignedIn={() => setSignedIn(true)} />
  return <Router hook={useHashLocation}><Shell /></Router>
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
