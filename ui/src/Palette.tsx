import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { type KeyboardEvent, type ReactNode, useEffect, useId, useState } from 'react'
import { flushSync } from 'react-dom'
import { useLocation } from 'wouter'
import { decoded } from './address'
import { ENDPOINTS, get, query } from './api'
import { matching, nextPlace } from './finding'
import { Dialog, State } from './kit'
import { useKeys } from './keys'
import { useSettled } from './settled'
import type { Endpoint } from './types'

interface Item { id: string; name: string; kind: string; href?: string; onChoose?: () => void; beside?: ReactNode }

const MOST_ENDPOINTS = 8
const TABS: [string, string][] = [['Overview', ''], ['Rollout', '/rollout'], ['Versions', '/versions'], ['AI Gateway', '/gateway'], ['Guardrails', '/guardrails']]
const KEYS: [string, string][] = [
  ['Ctrl K, ⌘ K', 'Find a page, an endpoint or an action'],
  ['?', 'Show these keys'],
  ['/', 'Search the list of endpoints'],
  ['j, k', 'Go to the next endpoint of the list, or the one before'],
  ['Enter', 'Open the endpoint'],
  ['c', 'Create an endpoint, from the list'],
]
// What a keyboard of this system has.
const MODIFIER = /Mac|iPhone|iPad/.test(navigator.userAgent) ? '⌘ K' : 'Ctrl K'

/** Finds pages, endpoints and actions by a part of their names. */
export function Palette({ places }: { places: { name: string; href: string }[] }): ReactNode {
  const [open, setOpen] = useState<'find' | 'keys' | null>(null)
  useEffect(() => {
    const press = (event: globalThis.KeyboardEvent): void => {
      if (event.key.toLowerCase() !== 'k' || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return
      // A dialog that asks something stays the one that is open.
      if (document.querySelector('dialog[open]') !== null) return
      event.preventDefault()
      setOpen('find')
    }
    document.addEventListener('keydown', press)
    return () => document.removeEventListener('keydown', press)
  }, [])
  useKeys({ '?': () => setOpen('keys') })
  return (
    <>
      <button type="button" className="find" aria-keyshortcuts="Control+K Meta+K" onClick={() => setOpen('find')}>Find<kbd>{MODIFIER}</kbd></button>
      {open === 'find' && <Finder places={places} onKeys={() => setOpen('keys')} onClose={() => setOpen(null)} />}
      {open === 'keys' && (
        <Dialog title="Keys" onClose={() => setOpen(null)}>
          <dl className="keys">{KEYS.map(([key, text]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{text}</dd></div>)}</dl>
          <p className="muted">Single keys can be turned off on the page Account.</p>
        </Dialog>
      )}
    </>
  )
}

function Finder({ places, onKeys, onClose }: {
  places: { name: string; href: string }[]
  onKeys: () => void
  onClose: () => void
}): ReactNode {
  const [location, navigate] = useLocation()
  const [text, setText] = useState('')
  const [active, setActive] = useState(0)
  const list = useId()
  const endpoints = useEndpoints(text)
  const items: Item[] = [
    ...matching(text, [...tabsAt(location), ...places.map(({ name, href }) => ({ id: href, name, kind: 'Page', href })), ...ACTIONS, { id: 'keys', name: 'Keyboard shortcuts', kind: 'Action', onChoose: onKeys }]),
    ...endpoints.map((endpoint) => itemOf(endpoint)),
  ]
  const chosen = Math.min(active, items.length - 1)
  const choose = (item: Item | undefined): void => {
    if (item === undefined) return
    // At once: while it is open, nothing else can have the focus.
    flushSync(onClose)
    item.onChoose?.()
    if (item.href === undefined) return
    navigate(item.href)
    document.getElementById('content')?.focus()
  }
  const press = (event: KeyboardEvent): void => {
    const place = nextPlace(event.key, chosen, items.length)
    if (event.key === 'Enter') { event.preventDefault(); choose(items[chosen]) }
    else if (place !== undefined) {
      event.preventDefault()
      setActive(place)
      document.getElementById(`${list}-${place}`)?.scrollIntoView({ block: 'nearest' })
    }
  }
  return (
    <Dialog title="Find" onClose={onClose}>
      <input type="text" className="find-text" role="combobox" autoFocus autoComplete="off" maxLength={63} aria-label="Page, endpoint or action" placeholder="Page, endpoint or action" aria-autocomplete="list"
        aria-expanded={items.length > 0} aria-controls={items.length > 0 ? list : undefined} aria-activedescendant={items.length > 0 ? `${list}-${chosen}` : undefined}
        value={text} onChange={(event) => { setText(event.target.value); setActive(0) }} onKeyDown={press} />
      {items.length === 0
        ? <p className="muted" role="status">Nothing has this in its name.</p>
        : (
          <ul id={list} className="found" role="listbox" aria-label="Found">
            {items.map((item, place) => (
              <li key={item.id} id={`${list}-${place}`} role="option" aria-selected={place === chosen} onPointerMove={() => setActive(place)} onClick={() => choose(item)}>
                <span>{item.name}</span>{item.beside}<span className="muted">{item.kind}</span>
              </li>
            ))}
          </ul>
        )}
    </Dialog>
  )
}

const ACTIONS: Item[] = [
  { id: 'new', name: 'Create serving endpoint', kind: 'Action', href: '/endpoints/new' },
  { id: 'ask', name: 'Create and ask an endpoint', kind: 'Action', href: '/endpoints/new/ask' },
  { id: 'account', name: 'Account', kind: 'Page', href: '/account' },
]

function itemOf(endpoint: Endpoint): Item {
  const { name } = endpoint
  return { id: `endpoint ${name}`, name, kind: 'Endpoint', href: `/endpoints/${encodeURIComponent(name)}`, beside: <State endpoint={endpoint} /> }
}

/** The parts of the page of an endpoint, while that is shown. */
function tabsAt(location: string): Item[] {
  const [, encoded] = /^\/endpoints\/([^/]+)/.exec(location) ?? []
  if (encoded === undefined || encoded === 'new') return []
  const name = decoded(encoded)
  const base = `/endpoints/${encoded}`
  return [
    ...TABS.map(([tab, rest]) => ({ id: base + rest, name: `${name}: ${tab}`, kind: 'Page', href: base + rest })),
    { id: `query ${name}`, name: `Query ${name}`, kind: 'Page', href: `/playground/${encoded}` },
  ]
}

function useEndpoints(text: string): Endpoint[] {
  const search = useSettled(text.trim())
  const found = useQuery({
    queryKey: ['endpoints', 'find', search],
    queryFn: () => get<{ endpoints?: Endpoint[] }>(ENDPOINTS + query({ max_results: MOST_ENDPOINTS, search })),
    enabled: search !== '',
    placeholderData: keepPreviousData,
  })
  return search === '' || text.trim() === '' ? [] : found.data?.endpoints ?? []
}
