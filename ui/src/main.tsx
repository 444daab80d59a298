import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { type ReactNode, StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { Router } from 'wouter'
import { useHashLocation } from 'wouter/use-hash-location'
import { setToken, whenSignedOut } from './api'
import { SignInPage } from './pages/SignIn'
import { Shell } from './Shell'
import './styles/base.css'
import './styles/parts.css'

function App({ queries }: { queries: QueryClient }): ReactNode {
  const [signedIn, setSignedIn] = useState(false)
  const signOut = (): void => {
    setToken('')
    queries.clear()
    setSignedIn(false)
  }
  useEffect(() => whenSignedOut(signOut))
  if (!signedIn) return <SignInPage onSignedIn={() => setSignedIn(true)} />
  return <Router hook={useHashLocation}><Shell onSignOut={signOut} /></Router>
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
