import { cloneElement, type ReactElement, type ReactNode, useId } from 'react'
import { ApiError, type Endpoint } from './api'
import { describeState } from './state'

export function State({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const { text, look } = describeState(endpoint)
  return <span className={`state ${look}`}>{text}</span>
}

export function Failure({ error }: { error: unknown }): ReactNode {
  if (error === null || error === undefined) return null
  const code = error instanceof ApiError ? error.code : 'ERROR'
  return (
    <div className="banner danger" role="alert">
      <strong>{code}</strong> {error instanceof Error ? error.message : String(error)}
    </div>
  )
}

/** A control with its label, and with what helps to fill it. */
export function Field({ label, help, children }: {
  label: string
  help?: string
  children: ReactElement<{ id?: string; 'aria-describedby'?: string }>
}): ReactNode {
  const id = useId()
  const helpId = help === undefined ? undefined : `${id}-help`
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {cloneElement(children, { id, 'aria-describedby': helpId })}
      {help !== undefined && <small id={helpId}>{help}</small>}
    </div>
  )
}

export function when(milliseconds: number | undefined): string {
  return milliseconds ? new Date(milliseconds).toLocaleString() : ''
}
