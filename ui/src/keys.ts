/** Shortcuts of a single key, which can be turned off: speech and tremor press keys that nobody meant. */
import { useEffect } from 'react'

const OFF = 'keys-off'

export const keysAreOn = (): boolean => localStorage.getItem(OFF) === null

export function switchKeys(on: boolean): void {
  if (on) localStorage.removeItem(OFF)
  else localStorage.setItem(OFF, '1')
}

/** Do what belongs to a key while nobody writes and no dialog is open. */
export function useKeys(actions: Record<string, () => void>): void {
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const action = actions[event.key]
      const writes = event.target instanceof Element && event.target.closest('input, textarea, select, dialog, [role=menu]') !== null
      if (action === undefined || writes || event.ctrlKey || event.metaKey || event.altKey || !keysAreOn()) return
      event.preventDefault()
      action()
    }
    document.addEventListener('keydown', press)
    return () => document.removeEventListener('keydown', press)
  })
}

/** Move the focus among the links that a selector finds. */
export function focusNext(selector: string, step: 1 | -1): void {
  const links = [...document.querySelectorAll<HTMLElement>(selector)]
  const place = links.findIndex((link) => link === document.activeElement)
  links[place < 0 && step < 0 ? links.length - 1 : place + step]?.focus()
}
