import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { type ReactNode, StrictMode, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { Link, Route, Router, Switch } from 'wouter'
import { useHashLocation } from 'wouter/use-hash-location'
import { setToken } from './api'
import { CreatePage } from './pages/Create'
import { EndpointPage } from './pages/Endpoint'
import { EndpointsPage } from './pages/Endpoints'
import { SignInPage } from './pages/SignIn'
import './styles/base.css'

function App({ queries }: { queries: QueryClient }): ReactNode {
  const [signedIn, setSignedIn] = useState(false)
  if (!signedIn) return <SignInPage onSignedIn={() => setSignedIn(true)} />
  const signOut = (): void => {
    setToken('')
    queries.clear()
    setSignedIn(false)
  }
  return (
    <Router hook={useHashLocation}>
      <a className="skip" href="#content" onClick={skipToContent}>Skip to the content</a>
      <header className="bar">
        <Link href="/endpoints">Serving</Link>
        <button type="button" onClick={signOut}>Sign out</button>
      </header>
      <main id="content" tabIndex={-1}>
        <Switch>
          <Route path="/endpoints/new"><CreatePage /></Route>
          <Route path="/endpoints/:name">{({ name }) => <EndpointPage key={name} name={decodeURIComponent(name)} />}</Route>
          <Route><EndpointsPage /></Route>
        </Switch>
      </main>
    </Router>
  )
}

// The address holds the page, so that it cannot hold a place on it too.
function skipToContent(event: { preventDefault(): void }): void {
  event.preventDefault()
  document.getElementById('content')?.focus()
}

const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } })
const root = document.getElementById('root')
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}><App queries={queries} /></QueryClientProvider>
    </StrictMode>,
  )
}
