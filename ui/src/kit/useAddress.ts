/** What a page reads from its address, and writes there. */
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { changed, type Parameters, pathOf, read, searchOf, type Values } from '../address'

const listeners = new Set<() => void>()

// The address that is shown, and whether something would be lost with its page.
let shown = location.hash
let guards = 0

function mayLeave(hash: string): boolean {
  return guards === 0 || pathOf(hash) === pathOf(shown) || confirm('Leave this page? What you have changed is not sent yet.')
}

function tell(): void {
  shown = location.hash
  for (const listener of listeners) listener()
}

/** Follow an address that came from elsewhere: back, forward, or typed. */
function follow(): void {
  if (mayLeave(location.hash)) tell()
  else history.pushState(null, '', shown)
}

/** While something would be lost, ask before the page is left. */
export function useGuard(lost: boolean): void {
  useEffect(() => {
    if (!lost) return
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault()
    guards += 1
    addEventListener('beforeunload', ask)
    return () => {
      guards -= 1
      removeEventListener('beforeunload', ask)
    }
  }, [lost])
}

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) {
    addEventListener('hashchange', follow)
    addEventListener('popstate', follow)
  }
  listeners.add(listener)
  return () => {
    listeners.delete(listener)
    if (listeners.size > 0) return
    removeEventListener('hashchange', follow)
    removeEventListener('popstate', follow)
  }
}

/** How to go: without a step of the history, or without asking what would be lost. */
export interface Going { replace?: boolean; sure?: boolean }

/** Go to a place: a path, and what stands behind it. */
export function go(to: string, { replace = false, sure = false }: Going = {}): void {
  if (!sure && !mayLeave(`#${to}`)) return
  history[replace ? 'replaceState' : 'pushState'](null, '', `#${to}`)
  tell()
}

/** The path, as the router wants it. */
export function usePath(): [string, typeof go] {
  return [useSyncExternalStore(subscribe, () => pathOf(location.hash)), go]
}
usePath.hrefs = (href: string): string => `#${href}`

/** A change is a step of the history, unless it takes the place of the last one. */
export type Change<P extends Parameters> = (change: Partial<Values<P>>, options?: { replace?: boolean }) => void

/**
 * What the address has of these parameters, and how it is changed.
 *
 * @param parameters What there is; always the same object.
 */
export function useAddress<P extends Parameters>(parameters: P): [Values<P>, Change<P>] {
  const search = useSyncExternalStore(subscribe, () => searchOf(location.hash))
  const values = useMemo(() => read(parameters, search), [parameters, search])
  const change = useCallback<Change<P>>((next, options) => {
    // As it is now, so that two changes of one moment are both there.
    const now = searchOf(location.hash)
    const after = changed(parameters, now, next)
    if (after === new URLSearchParams(now).toString()) return
    go(pathOf(location.hash) + (after === '' ? '' : `?${after}`), options)
  }, [parameters])
  return [values, change]
}

// Safari lets an address change some hundred times in half a minute.
const WRITTEN_MS = 400

/**
 * A parameter that is typed: at once in its field, and in the address once nobody types any more, where it
 * is no step of the history.
 *
 * @param more What else changes with it.
 */
export function useTyped<P extends Parameters, Name extends keyof P & string>(
  [values, change]: [Values<P>, Change<P>], name: Values<P>[Name] extends string ? Name : never, more: Partial<Values<P>> = {},
): [string, (text: string) => void] {
  const value = values[name] as string
  const [typed, setTyped] = useState(value)
  const own = useRef(value)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useEffect(() => () => clearTimeout(timer.current), [])
  useEffect(() => {
    // What was typed here comes back, and is older than what is typed meanwhile.
    if (value === own.current) return
    clearTimeout(timer.current)
    own.current = value
    setTyped(value)
  }, [value])
  const type = (next: string): void => {
    setTyped(next)
    clearTimeout(timer.current)
    timer.current = setTimeout(() => {
      own.current = next
      change({ ...more, [name]: next }, { replace: true })
    }, WRITTEN_MS)
  }
  return [typed, type]
}
