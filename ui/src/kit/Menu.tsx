import { type KeyboardEvent, type ReactNode, useEffect, useId, useLayoutEffect, useRef, useState } from 'react'

export interface MenuItem {
  name: string
  onChoose: () => void
  /** Why it cannot be chosen. */
  reason?: string | undefined
  dangerous?: boolean
}

const GAP = 4

/** A button that opens a menu of what can be done. */
export function Menu({ label, items }: { label: string; items: MenuItem[] }): ReactNode {
  const [open, setOpen] = useState(false)
  const button = useRef<HTMLButtonElement>(null)
  const id = useId()
  return (
    <>
      <button ref={button} type="button" className="small more" aria-label={label} aria-haspopup="menu" aria-expanded={open} aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
        onKeyDown={(event) => {
          if (event.key !== 'ArrowDown') return
          event.preventDefault()
          setOpen(true)
        }}>⋯</button>
      {open && <Items id={id} label={label} items={items} button={button.current} onClose={() => setOpen(false)} />}
    </>
  )
}

function Items({ id, label, items, button, onClose }: {
  id: string
  label: string
  items: MenuItem[]
  button: HTMLButtonElement | null
  onClose: () => void
}): ReactNode {
  const menu = useRef<HTMLDivElement>(null)
  useLayoutEffect(() => {
    if (menu.current === null || button === null) return
    menu.current.showPopover()
    place(menu.current, button)
    all(menu.current)[0]?.focus()
  }, [button])
  useEffect(() => {
    // Where the button is not any more, the menu is not either.
    const away = (event: Event): void => { if (event.target !== menu.current) onClose() }
    document.addEventListener('scroll', away, true)
    window.addEventListener('resize', away)
    return () => {
      document.removeEventListener('scroll', away, true)
      window.removeEventListener('resize', away)
    }
  }, [onClose])
  const close = (): void => { onClose(); button?.focus() }
  const press = (event: KeyboardEvent<HTMLDivElement>): void => {
    const found = all(event.currentTarget)
    const current = found.findIndex((item) => item === document.activeElement)
    const target = targetOf(event.key, current, found.length) ?? startsWith(found, event.key, current)
    if (event.key === 'Escape') { event.preventDefault(); close() }
    else if (event.key === 'Tab') onClose()
    else if (target !== undefined) { event.preventDefault(); found[target]?.focus() }
  }
  return (
    <div ref={menu} id={id} className="menu" role="menu" aria-label={label} popover="auto" onKeyDown={press}
      onToggle={(event) => { if (event.newState === 'closed') onClose() }}>
      {items.map(({ name, reason, dangerous, onChoose }) => (
        <button type="button" role="menuitem" tabIndex={-1} key={name} className={dangerous ? 'danger' : undefined}
          aria-disabled={reason === undefined ? undefined : true} title={reason}
          onClick={() => { if (reason === undefined) { close(); onChoose() } }}>{name}</button>
      ))}
    </div>
  )
}

function all(menu: HTMLElement): HTMLElement[] {
  return [...menu.querySelectorAll<HTMLElement>('[role=menuitem]')]
}

function targetOf(key: string, current: number, count: number): number | undefined {
  if (key === 'ArrowDown') return (current + 1) % count
  if (key === 'ArrowUp') return (current - 1 + count) % count
  if (key === 'Home') return 0
  if (key === 'End') return count - 1
  return undefined
}

/** The next item that begins with a letter. */
function startsWith(items: HTMLElement[], key: string, current: number): number | undefined {
  if (key.length !== 1 || key === ' ') return undefined
  const turned = items.map((_, step) => (current + 1 + step) % items.length)
  return turned.find((place) => items[place]?.textContent?.toLowerCase().startsWith(key.toLowerCase()))
}

/** Put the menu below its button, or above where there is no room below, and inside the window. */
function place(menu: HTMLElement, button: HTMLElement): void {
  const at = button.getBoundingClientRect()
  const { width, height } = menu.getBoundingClientRect()
  const below = at.bottom + GAP + height <= window.innerHeight
  menu.style.top = `${below ? at.bottom + GAP : Math.max(GAP, at.top - GAP - height)}px`
  menu.style.left = `${Math.max(GAP, Math.min(at.right, window.innerWidth - GAP) - width)}px`
}
