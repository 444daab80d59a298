import type { ReactNode } from 'react'
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

export function Field({ label, help, children }: {
  label: string
  help?: string
  children: ReactNode
}): ReactNode {
  return (
    <label className="field">
      <span>{label}</span>
      {children}
      {help !== undefined && <small>{help}</small>}
    </label>
  )
}

export function when(milliseconds: number | undefined): string {
  return milliseconds ? new Date(milliseconds).toLocaleString() : ''
}
