/** What a page reads from its address, and writes there. */
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react'
import { changed, type Parameters, pathOf, read, searchOf, type Values } from '../address'

const listeners = new Set<() => void>()

function tell(): void {
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) {
    addEventListener('hashchange', tell)
    addEventListener('popstate', tell)
  }
  listeners.add(listener)
  return () => {
    listeners.delete(listener)
    if (listeners.size > 0) return
    removeEventListener('hashchange', tell)
    removeEventListener('popstate', tell)
  }
}

/** Go to a place: a path, and what stands behind it. */
export function go(to: string, { replace = false }: { replace?: boolean } = {}): void {
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
