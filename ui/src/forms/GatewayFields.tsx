import type { ReactNode } from 'react'
import { Check, Field } from '../kit'
import { type GatewayDraft, LIMIT_KEYS, type LimitDraft } from './gateway'

/** Usage tracking, fallbacks, retries, timeouts and limits. */
export function GatewayFields({ draft, onChange }: {
  draft: GatewayDraft
  onChange: (draft: GatewayDraft) => void
}): ReactNode {
  const set = (change: Partial<GatewayDraft>): void => onChange({ ...draft, ...change })
  const { limits } = draft
  const change = (id: number, values: Partial<LimitDraft>): void =>
    set({ limits: limits.map((limit) => (limit.id === id ? { ...limit, ...values } : limit)) })
  const add = (): void => {
    const id = Math.max(-1, ...limits.map(({ id: other }) => other)) + 1
    set({ limits: [...limits, { id, key: 'user', principal: '', calls: '', tokens: '' }] })
  }
  return (
    <>
      <Check label="Track usage: who asked, how many tokens; never prompts" checked={draft.tracked} onChange={(tracked) => set({ tracked })} />
      <Check label="Ask another served entity when one fails" checked={draft.fallback} onChange={(fallback) => set({ fallback })} />
      <div className="columns">
        <Field label="Retries of the same entity" help="0 to 5; empty: 2."><input type="number" min={0} max={5} value={draft.retries} onChange={(event) => set({ retries: event.target.value })} /></Field>
        <Field label="Seconds until the first byte" help="Empty: the workers’ setting."><input type="number" min={0.1} max={3600} step="any" value={draft.first} onChange={(event) => set({ first: event.target.value })} /></Field>
        <Field label="Seconds between chunks" help="Empty: the workers’ setting."><input type="number" min={0.1} max={3600} step="any" value={draft.idle} onChange={(event) => set({ idle: event.target.value })} /></Field>
      </div>
      <h3>Limits by minute</h3>
      {limits.map((limit) => (
        <div className="limit" key={limit.id}>
          <Field label="For each"><select value={limit.key} onChange={(event) => change(limit.id, { key: event.target.value })}>{Object.entries(LIMIT_KEYS).map(([key, title]) => <option key={key} value={key}>{title}</option>)}</select></Field>
          <Field label="Only"><input autoComplete="off" placeholder="all" maxLength={256} disabled={limit.key === 'endpoint'} value={limit.principal} onChange={(event) => change(limit.id, { principal: event.target.value })} /></Field>
          <Field label="Requests"><input type="number" min={0} value={limit.calls} required={limit.tokens === ''} onChange={(event) => change(limit.id, { calls: event.target.value })} /></Field>
          <Field label="Tokens"><input type="number" min={0} value={limit.tokens} required={limit.calls === ''} onChange={(event) => change(limit.id, { tokens: event.target.value })} /></Field>
          <button type="button" onClick={() => set({ limits: limits.filter(({ id }) => id !== limit.id) })}>Remove</button>
        </div>
      ))}
      <button type="button" onClick={add}>Add limit</button>
    </>
  )
}
