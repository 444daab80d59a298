import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link, Redirect, Route, Switch, useLocation } from 'wouter'
import { decoded } from './address'
import { signedOut, signOut } from './api'
import { DeploymentBadge } from './DeploymentBadge'
import { Closed, NEEDS_ADMIN, seen } from './kit'
import { lazily } from './kit/Part'
import { useChanges } from './live'
import { useMe } from './me'
import { isFolded, keepFolded } from './navigation'
import { EndpointsPage } from './pages/Endpoints'
import { OwnUser } from './OwnUser'
import { Palette } from './Palette'
import { chooseTheme, chosenTheme, type Theme } from './theme'

// Each page is loaded when it is first shown; the list of endpoints, where one begins, comes with the first.
const AccountPage = lazily(() => import('./pages/Account').then((part) => part.AccountPage), true)
const AuditPage = lazily(() => import('./pages/Audit').then((part) => part.AuditPage), true)
const CreatePage = lazily(() => import('./pages/Create').then((part) => part.CreatePage), true)
const EditPage = lazily(() => import('./pages/Edit').then((part) => part.EditPage), true)
const EndpointPage = lazily(() => import('./pages/endpoint').then((part) => part.EndpointPage), true)
const IdentityPage = lazily(() => import('./pages/identity').then((part) => part.IdentityPage), true)
const PlaygroundPage = lazily(() => import('./pages/playground').then((part) => part.PlaygroundPage), true)
const ComparePage = lazily(() => import('./pages/playground/Compare').then((part) => part.ComparePage), true)
const PricesPage = lazily(() => import('./pages/Prices').then((part) => part.PricesPage), true)
const SecretsPage = lazily(() => import('./pages/Secrets').then((part) => part.SecretsPage), true)
const UsagePage = lazily(() => import('./pages/Usage').then((part) => part.UsagePage), true)
const WorkersPage = lazily(() => import('./pages/Workers').then((part) => part.WorkersPage), true)

interface Place { name: string; href: string; admin?: boolean }

const PLACES: Place[] = [
  { name: 'Serving endpoints', href: '/endpoints' },
  { name: 'Playground', href: '/playground' },
  { name: 'Usage', href: '/usage', admin: true },
  { name: 'Secrets', href: '/secrets' },
  { name: 'Identity', href: '/identity', admin: true },
  { name: 'Workers', href: '/workers', admin: true },
  { name: 'Audit log', href: '/audit', admin: true },
]

const NAVIGATION = 'navigation'

/** What stands around every page, and which page it is. */
export function Shell(): ReactNode {
  const [location] = useLocation()
  const me = useMe()
  useChanges()
  const [folded, setFolded] = useState(isFolded)
  const fold = (): void => {
    keepFolded(!folded)
    setFolded(!folded)
  }
  const places = PLACES.filter(({ admin }) => !admin || me.admin)
  return (
    <div className={folded ? 'shell folded' : 'shell'}>
      <a className="skip" href="#content" onClick={skipToContent}>Skip to the content</a>
      <header className="top">
        <button type="button" className="plain fold" aria-expanded={!folded} aria-controls={NAVIGATION} aria-label="Menu" title={folded ? 'Show the navigation' : 'Fold the navigation away'} onClick={fold}>☰</button>
        <Brand />
        <Palette places={places} />
        <span className="grow" />
        <DeploymentBadge admin={me.admin} />
        <Link href="/account" aria-current={location === '/account' ? 'page' : undefined} className="who" title={me.name}>{me.name || 'Account'}</Link>
      </header>
      <aside id={NAVIGATION} aria-label="Navigation" hidden={folded}>
        <Brand />
        <nav aria-label="Main">
          {PLACES.map(({ name, href, admin }) => admin && !me.admin
            ? <Closed key={href} name={name} reason={NEEDS_ADMIN} />
            : <Link key={href} href={href} ref={location.startsWith(href) ? seen : undefined} aria-current={location.startsWith(href) ? 'page' : undefined}>{name}</Link>)}
        </nav>
        <div className="aside-row">
          <ThemeChoice />
          <SignOut />
        </div>
      </aside>
      <main id="content" tabIndex={-1}>
        <OwnUser />
        <Switch>
          <Route path="/endpoints"><EndpointsPage /></Route>
          <Route path="/endpoints/new"><CreatePage /></Route>
          <Route path="/endpoints/new/ask"><CreatePage asks /></Route>
          <Route path="/endpoints/:name/edit">{({ name }) => <EditPage key={name} name={decoded(name)} />}</Route>
          <Route path="/endpoints/:name/:tab/:item">
            {({ name, tab, item }) => <EndpointPage key={name} name={decoded(name)} tab={tab} item={item} />}
          </Route>
          <Route path="/endpoints/:name/:tab?">
            {({ name, tab }) => <EndpointPage key={name} name={decoded(name)} tab={tab ?? 'overview'} item={undefined} />}
          </Route>
          <Route path="/playground/compare/:chosen">{({ chosen }) => <ComparePage chosen={decoded(chosen)} />}</Route>
          <Route path="/playground/:name?">{({ name }) => <PlaygroundPage key={name} name={name === undefined ? '' : decoded(name)} />}</Route>
          <Route path="/usage"><UsagePage /></Route>
          <Route path="/usage/prices"><PricesPage /></Route>
          <Route path="/secrets/:scope?">{({ scope }) => <SecretsPage scope={scope === undefined ? '' : decoded(scope)} />}</Route>
          <Route path="/identity/:tab?">{({ tab }) => <IdentityPage tab={tab ?? 'users'} />}</Route>
          <Route path="/workers"><WorkersPage /></Route>
          <Route path="/audit"><AuditPage /></Route>
          <Route path="/account"><AccountPage /></Route>
          <Route><Redirect to="/endpoints" /></Route>
        </Switch>
      </main>
    </div>
  )
}

// The address holds the page, so that it cannot hold a place on it too.
function skipToContent(event: { preventDefault(): void }): void {
  event.preventDefault()
  document.getElementById('content')?.focus()
}

function SignOut(): ReactNode {
  const end = useMutation({ mutationFn: signOut, onSuccess: signedOut })
  return (
    <button type="button" className="plain" title={end.error?.message} disabled={end.isPending} onClick={() => end.mutate()}>
      {end.error ? 'Not signed out' : 'Sign out'}
    </button>
  )
}

function Brand(): ReactNode {
  return <Link href="/endpoints" className="brand"><img src="./icon.svg" alt="" width={20} height={20} /><span>modelplane</span></Link>
}

function ThemeChoice(): ReactNode {
  const [theme, setTheme] = useState<Theme>(chosenTheme)
  return (
    <select aria-label="Theme" value={theme} onChange={(event) => {
      const chosen = event.target.value as Theme
      chooseTheme(chosen)
      setTheme(chosen)
    }}>
      <option value="system">System</option>
      <option value="light">Light</option>
      <option value="dark">Dark</option>
    </select>
  )
}
