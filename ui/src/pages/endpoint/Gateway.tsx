import { type ReactNode, useEffect, useRef, useState } from 'react'
import { Check, Empty, Field, NEEDS_MANAGE } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { useFeatures } from '../../deployment'
import { LimitsInUse } from './LimitUse'
import { PayloadTable } from './PayloadTable'
import { useGatewaySave } from './useGatewaySave'
import type { AiGateway, Endpoint, RateLimit } from '../../types'

const KEYS: Record<string, string> = {
  endpoint: 'Endpoint',
  user: 'User',
  user_group: 'Group',
  service_principal: 'Service principal',
}

/** Usage tracking, limits, fallbacks, retries and timeouts, which are replaced as a whole. */
export function Gateway({ endpoint, manages }: { endpoint: Endpoint; manages: boolean }): ReactNode {
  // What is edited first, as the form calls it; null: nothing is.
  const [editing, setEditing] = useState<string | null>(null)
  const features = useFeatures()
  const gateway = endpoint.ai_gateway ?? {}
  if (editing !== null) return <Edit endpoint={endpoint} at={editing} onClose={() => setEditing(null)} />
  const limits = gateway.rate_limits ?? []
  const reason = manages ? undefined : NEEDS_MANAGE
  const facts: [string, string, ReactNode][] = [
    ['Track usage', 'Usage tracking', onOff(gateway.usage_tracking_config?.enabled)],
    ['Ask another', 'Fallbacks', <>{onOff(gateway.fallback_config?.enabled)} {gateway.fallback_config?.enabled && <Chain endpoint={endpoint} />}</>],
    ['Retries', 'Retries', gateway.retry_config?.max_retries ?? 'at most 2, the default'],
    ['Seconds until', 'First byte within', seconds(gateway.timeout_config?.first_byte_seconds)],
    ['Seconds between', 'Between chunks', seconds(gateway.timeout_config?.idle_seconds)],
  ]
  if (features.has('payload_tables') || gateway.inference_table_config?.enabled) facts.push(['Record requests', 'Payload table', tableOf(endpoint)])
  return (
    <section>
      <div className="card-head">
        <h2>AI Gateway</h2>
        <button type="button" title={reason} disabled={!manages} onClick={() => setEditing('Track usage')}>Edit</button>
      </div>
      <dl className="facts">
        {facts.map(([at, title, value]) => (
          <div key={at}>
            <dt>{title} <button type="button" className="plain pencil" aria-label={`Edit ${title.toLowerCase()}`} title={reason} disabled={!manages} onClick={() => setEditing(at)}>✎</button></dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <h3>Limits by minute <button type="button" className="plain pencil" aria-label="Edit limits" title={reason} disabled={!manages} onClick={() => setEditing(limits.length === 0 ? 'Add limit' : 'For each')}>✎</button></h3>
      {limits.length === 0
        ? <Empty title="Neither requests nor tokens are limited." />
        : <LimitsInUse name={endpoint.name} keys={KEYS} />}
    </section>
  )
}

const onOff = (enabled: boolean | undefined): ReactNode =>
  enabled ? <span className="state success">On</span> : <span className="state muted">Off</span>
const seconds = (value: number | undefined): string => (value === undefined ? 'the workers’ setting' : `${value} s`)

/** The order in which others are asked. */
function Chain({ endpoint: { config } }: { endpoint: Endpoint }): ReactNode {
  const names = (config?.served_entities ?? []).map(({ name }) => name)
  return names.length > 1 && <small className="muted">after the first, up to two others of {names.join(' → ')}</small>
}

/** Where payloads are recorded, as a query names it. */
function tableOf({ name, ai_gateway: gateway }: Endpoint): ReactNode {
  const table = gateway?.inference_table_config
  if (!table?.enabled) return onOff(false)
  return <code>{table.catalog_name}.{table.schema_name}.{table.table_name_prefix ?? name}_payload</code>
}

interface LimitDraft { id: number; key: string; principal: string; calls: string; tokens: string }

/** @param at What is edited first: what its label, or the text of its button, begins with. */
function Edit({ endpoint, at, onClose }: { endpoint: Endpoint; at: string; onClose: () => void }): ReactNode {
  const form = useRef<HTMLFormElement>(null)
  useEffect(() => {
    const named = [...form.current?.querySelectorAll<HTMLLabelElement | HTMLButtonElement>('label, button') ?? []]
    const found = named.find(({ textContent }) => textContent?.startsWith(at))
    if (found instanceof HTMLLabelElement) found.control?.focus()
    else found?.focus()
  }, [at])
  const features = useFeatures()
  const [gateway] = useState(endpoint.ai_gateway ?? {})
  const [tracked, setTracked] = useState(gateway.usage_tracking_config?.enabled ?? false)
  const [fallback, setFallback] = useState(gateway.fallback_config?.enabled ?? false)
  const [retries, setRetries] = useState(text(gateway.retry_config?.max_retries))
  const [first, setFirst] = useState(text(gateway.timeout_config?.first_byte_seconds))
  const [idle, setIdle] = useState(text(gateway.timeout_config?.idle_seconds))
  const [limits, setLimits] = useState<LimitDraft[]>(() => (gateway.rate_limits ?? []).map((limit, id) => ({
    id, key: limit.key ?? 'endpoint', principal: limit.principal ?? '', calls: text(limit.calls), tokens: text(limit.tokens),
  })))
  const [table, setTable] = useState(gateway.inference_table_config ?? {})
  // What is not on this form stays as it is: the settings are replaced as a whole.
  const { retry_config: _, timeout_config: __, ...others } = gateway
  const body: AiGateway = {
    ...others,
    usage_tracking_config: { enabled: tracked },
    fallback_config: { enabled: fallback },
    rate_limits: limits.map(limitOf),
    ...(gateway.inference_table_config === undefined && !table.enabled ? {} : { inference_table_config: table }),
    ...(retries === '' ? {} : { retry_config: { max_retries: Number(retries) } }),
    ...(first === '' && idle === '' ? {} : {
      timeout_config: {
        ...(first === '' ? {} : { first_byte_seconds: Number(first) }),
        ...(idle === '' ? {} : { idle_seconds: Number(idle) }),
      },
    }),
  }
  const { request, busy, save, problem } = useGatewaySave(endpoint, body, onClose)
  const change = (id: number, values: Partial<LimitDraft>): void =>
    setLimits(limits.map((limit) => (limit.id === id ? { ...limit, ...values } : limit)))
  return (
    <form ref={form} onSubmit={(event) => { event.preventDefault(); save() }}>
      <div className="card-head"><h2>AI Gateway</h2><CopyAs request={request} /></div>
      {problem}
      <Check label="Track usage: who asked, how many tokens; never prompts" checked={tracked} onChange={setTracked} />
      <Check label="Ask another served entity when one fails" checked={fallback} onChange={setFallback} />
      <div className="columns">
        <Field label="Retries of the same entity" help="0 to 5; empty: 2."><input type="number" min={0} max={5} value={retries} onChange={(event) => setRetries(event.target.value)} /></Field>
        <Field label="Seconds until the first byte" help="Empty: the workers’ setting."><input type="number" min={0.1} max={3600} step="any" value={first} onChange={(event) => setFirst(event.target.value)} /></Field>
        <Field label="Seconds between chunks" help="Empty: the workers’ setting."><input type="number" min={0.1} max={3600} step="any" value={idle} onChange={(event) => setIdle(event.target.value)} /></Field>
      </div>
      {(features.has('payload_tables') || gateway.inference_table_config?.enabled) && <PayloadTable table={table} onChange={setTable} />}
      <h3>Limits by minute</h3>
      {limits.map((limit) => (
        <div className="limit" key={limit.id}>
          <Field label="For each"><select value={limit.key} onChange={(event) => change(limit.id, { key: event.target.value })}>{Object.entries(KEYS).map(([key, title]) => <option key={key} value={key}>{title}</option>)}</select></Field>
          <Field label="Only"><input autoComplete="off" placeholder="all" maxLength={256} disabled={limit.key === 'endpoint'} value={limit.principal} onChange={(event) => change(limit.id, { principal: event.target.value })} /></Field>
          <Field label="Requests"><input type="number" min={0} value={limit.calls} required={limit.tokens === ''} onChange={(event) => change(limit.id, { calls: event.target.value })} /></Field>
          <Field label="Tokens"><input type="number" min={0} value={limit.tokens} required={limit.calls === ''} onChange={(event) => change(limit.id, { tokens: event.target.value })} /></Field>
          <button type="button" onClick={() => setLimits(limits.filter(({ id }) => id !== limit.id))}>Remove</button>
        </div>
      ))}
      <button type="button" onClick={() => setLimits([...limits, { id: Math.max(-1, ...limits.map(({ id }) => id)) + 1, key: 'user', principal: '', calls: '', tokens: '' }])}>Add limit</button>
      <div className="form-foot">
        <button type="button" onClick={onClose}>Discard</button>
        <button type="submit" className="primary" disabled={busy}>Save</button>
      </div>
    </form>
  )
}

const text = (value: number | undefined): string => (value === undefined ? '' : String(value))

function limitOf({ key, principal, calls, tokens }: LimitDraft): RateLimit {
  return {
    key,
    renewal_period: 'minute',
    ...(calls === '' ? {} : { calls: Number(calls) }),
    ...(tokens === '' ? {} : { tokens: Number(tokens) }),
    ...(principal.trim() === '' || key === 'endpoint' ? {} : { principal: principal.trim() }),
  }
}
