/** What all pages are made of. */
import { cloneElement, type ReactElement, type ReactNode, useEffect, useId, useRef, useState } from 'react'
import { createPortal } from 'react-dom'
import { Link } from 'wouter'
import { ApiError, type ApiRequest } from '../api'
import { describeState } from '../state'
import type { Endpoint } from '../types'
import { CopyAs } from './CopyAs'

export function State({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const { text, look, why } = describeState(endpoint)
  return <><span className={`state ${look}`}>{text}</span>{why !== '' && <small className="muted why"> {why}</small>}</>
}

/** @param focused Whether the focus goes there, from where it was told to do something. */
export function Failure({ error, focused = false }: { error: unknown; focused?: boolean }): ReactNode {
  const banner = useRef<HTMLDivElement>(null)
  useEffect(() => {
    if (focused && error) banner.current?.focus()
  }, [focused, error])
  if (error === null || error === undefined) return null
  const code = error instanceof ApiError ? error.code : 'ERROR'
  const id = error instanceof ApiError ? error.requestId : ''
  return (
    <div ref={banner} className="banner danger" role="alert" tabIndex={focused ? -1 : undefined}>
      <strong>{code}</strong> {error instanceof Error ? error.message : String(error)}
      {id !== '' && <small className="request-id">Request {id}</small>}
    </div>
  )
}

/** A control with its label, and with what helps to fill it. */
export function Field({ label, help, children, required, className }: {
  label: string
  help?: ReactNode
  required?: boolean
  className?: string
  children: ReactElement<{ id?: string; 'aria-describedby'?: string; required?: boolean }>
}): ReactNode {
  const id = useId()
  const helpId = help ? `${id}-help` : undefined
  const more = required === undefined ? {} : { required }
  return (
    <div className={className ? `field ${className}` : 'field'}>
      <label htmlFor={id}>{label}{required === false && <span className="optional"> optional</span>}</label>
      {cloneElement(children, { id, 'aria-describedby': helpId, ...more })}
      {help && <small id={helpId}>{help}</small>}
    </div>
  )
}

export function Check({ label, checked, disabled, onChange }: {
  label: string
  checked: boolean
  disabled?: boolean
  onChange: (checked: boolean) => void
}): ReactNode {
  return (
    <label className="check">
      <input type="checkbox" checked={checked} disabled={disabled} onChange={(event) => onChange(event.target.checked)} />
      {label}
    </label>
  )
}

/** The head of a page: where it is, what it is called, and what can be done. */
export function Head({ crumbs, title, after, children }: {
  crumbs?: [string, string][]
  title: string
  after?: ReactNode
  children?: ReactNode
}): ReactNode {
  useEffect(() => {
    document.title = `${title} · modelplane`
  }, [title])
  return (
    <>
      {crumbs && (
        <nav className="crumbs" aria-label="Breadcrumb">
          {crumbs.map(([name, href]) => <span key={href}><Link href={href}>{name}</Link> / </span>)}
        </nav>
      )}
      <div className="head">
        <h1>{title}</h1>
        {after}
        <div className="actions">{children}</div>
      </div>
    </>
  )
}

/** A place that one may not open, with what that takes. */
export function Closed({ name, reason }: { name: string; reason: string }): ReactNode {
  return <span className="closed muted" title={reason} aria-label={`${name}: ${reason}`} role="note">{name}</span>
}

/** Bring a link into view where its row is wider than the page. */
export function seen(link: HTMLAnchorElement | null): void {
  // Some browsers return a promise, which React would take for what to clean up with.
  void link?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
}

/** @param tabs Names, addresses, and of those that cannot be opened, why. */
export function Tabs({ tabs, current }: { tabs: [string, string, string?][]; current: string }): ReactNode {
  return (
    <nav className="tabs" aria-label="Sections">
      {tabs.map(([name, href, reason]) => reason === undefined
        ? <Link key={href} href={href} ref={name === current ? seen : undefined} aria-current={name === current ? 'page' : undefined}>{name}</Link>
        : <Closed key={href} name={name} reason={reason} />)}
    </nav>
  )
}

export interface Column<Row> {
  title: string
  cell: (row: Row) => ReactNode
  number?: boolean
  narrow?: boolean
  /** Names without spaces, which may be broken. */
  long?: boolean
  /** What the rows can be ordered by that this column shows. */
  order?: string
}

export interface Order { by: string; descending: boolean }

export function Table<Row>({ label, columns, rows, id, order, onOrder }: {
  label: string
  columns: Column<Row>[]
  rows: readonly Row[]
  id: (row: Row) => string | number
  order?: Order | null
  onOrder?: (by: string) => void
}): ReactNode {
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>{columns.map(({ title, number, order: by }, place) =>
            title === '' ? <td key={place} />
            : by === undefined || onOrder === undefined ? <th key={place} scope="col" className={number ? 'number' : undefined}>{title}</th>
            : <Ordering key={place} title={title} by={by} order={order ?? null} onOrder={onOrder} />)}</tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)}>
              {columns.map(({ cell, number, narrow, long }, place) => (
                <td key={place} className={number ? 'number' : narrow ? 'narrow' : undefined}>{long ? <span className="long">{cell(row)}</span> : cell(row)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

/** The head of a column by which rows can be ordered. */
function Ordering({ title, by, order, onOrder }: {
  title: string
  by: string
  order: Order | null
  onOrder: (by: string) => void
}): ReactNode {
  const going = order?.by !== by ? 'none' : order.descending ? 'descending' : 'ascending'
  return (
    <th scope="col" aria-sort={going}>
      <button type="button" className="ordering" onClick={() => onOrder(by)}>{title}<span aria-hidden="true">{going === 'none' ? '' : going === 'ascending' ? '▲' : '▼'}</span></button>
    </th>
  )
}

export function Empty({ title, children }: { title: string; children?: ReactNode }): ReactNode {
  return <div className="empty"><p className="empty-title">{title}</p>{children}</div>
}

export function Loading(): ReactNode {
  return <div className="loading" role="status"><span>Loading …</span></div>
}

export function Copy({ text, label = 'Copy', onCopied }: { text: string; label?: string; onCopied?: () => void }): ReactNode {
  const [copied, setCopied] = useState(false)
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text)
    setCopied(true)
    onCopied?.()
    setTimeout(() => setCopied(false), 1500)
  }
  return <button type="button" className="small" onClick={() => void copy()}>{copied ? 'Copied' : label}</button>
}

export function Dialog({ title, onClose, children, wide, kept }: {
  title: string
  onClose: () => void
  children: ReactNode
  wide?: boolean
  /** Whether only what is in it closes it. */
  kept?: boolean
}): ReactNode {
  const ref = useRef<HTMLDialogElement>(null)
  const id = useId()
  useEffect(() => {
    const dialog = ref.current
    if (dialog === null || dialog.open) return
    dialog.showModal()
    // Else the browser would begin at the button that closes it.
    dialog.querySelector<HTMLElement>('input:enabled, select:enabled, textarea:enabled')?.focus()
  }, [])
  // Beside all else: a form in it that stood in another form would be sent by the browser itself. To
  // React it is where it was opened, so that form must not hear of it either.
  return createPortal(
    <dialog ref={ref} className={wide ? 'wide' : undefined} aria-labelledby={id}
      // A dialog that was opened in this one is a part of it to React, and closes by itself.
      onClose={(event) => { if (event.target === ref.current) onClose() }}
      onCancel={(event) => { if (kept && event.target === ref.current) event.preventDefault() }}
      onSubmit={(event) => event.stopPropagation()}>
      <div className="dialog-head">
        <h2 id={id}>{title}</h2>
        {!kept && <button type="button" className="plain" aria-label="Close" onClick={() => ref.current?.close()}>✕</button>}
      </div>
      {children}
    </dialog>,
    document.body,
  )
}

/** Asks before what cannot be undone; `name`, if given, has to be typed. */
export function Confirm({ title, action, name, request, error, busy, onConfirm, onClose, children }: {
  title: string
  action: string
  name?: string
  /** What confirming sends. */
  request: ApiRequest
  error?: unknown
  busy: boolean
  onConfirm: () => void
  onClose: () => void
  children: ReactNode
}): ReactNode {
  const [typed, setTyped] = useState('')
  return (
    <Dialog title={title} onClose={onClose}>
      <form onSubmit={(event) => { event.preventDefault(); onConfirm() }}>
        <Failure error={error} />
        {children}
        {name !== undefined && (
          <Field label={`Type ${name} to confirm`}>
            <input autoComplete="off" value={typed} onChange={(event) => setTyped(event.target.value)} />
          </Field>
        )}
        <div className="dialog-foot">
          <CopyAs request={request} />
          <button type="button" onClick={onClose}>Keep</button>
          <button type="submit" className="dangerous" disabled={busy || (name !== undefined && typed !== name)}>{action}</button>
        </div>
      </form>
    </Dialog>
  )
}

export const NEEDS_MANAGE = 'This takes CAN_MANAGE on the endpoint'
export const NEEDS_QUERY = 'This takes CAN_QUERY on the endpoint'
export const NEEDS_ADMIN = 'This takes an administrator'
