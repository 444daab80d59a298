import { type ReactNode, useEffect, useRef, useState } from 'react'
import { useFeatures } from '../../deployment'
import { gatewayDraft, gatewayOf, LIMIT_KEYS } from '../../forms/gateway'
import { GatewayFields } from '../../forms/GatewayFields'
import { Empty, NEEDS_MANAGE } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { LimitsInUse } from './LimitUse'
import { PayloadTable } from './PayloadTable'
import { useGatewaySave } from './useGatewaySave'
import type { AiGateway, Endpoint } from '../../types'

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
        : <LimitsInUse name={endpoint.name} keys={LIMIT_KEYS} />}
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
  const [draft, setDraft] = useState(() => gatewayDraft(gateway))
  const [table, setTable] = useState(gateway.inference_table_config ?? {})
  const recorded: AiGateway = gateway.inference_table_config === undefined && !table.enabled ? {} : { inference_table_config: table }
  const { request, busy, save, problem } = useGatewaySave(endpoint, { ...gatewayOf(draft, gateway), ...recorded }, onClose)
  return (
    <form ref={form} onSubmit={(event) => { event.preventDefault(); save() }}>
      <div className="card-head"><h2>AI Gateway</h2><CopyAs request={request} /></div>
      {problem}
      <GatewayFields draft={draft} onChange={setDraft} />
      {(features.has('payload_tables') || gateway.inference_table_config?.enabled) && <PayloadTable table={table} onChange={setTable} />}
      <div className="form-foot">
        <button type="button" onClick={onClose}>Discard</button>
        <button type="submit" className="primary" disabled={busy}>Save</button>
      </div>
    </form>
  )
}
