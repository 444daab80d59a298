import { type ReactNode, useState } from 'react'
import { useFeatures } from '../../deployment'
import { gatewayDraft, gatewayOf, LIMIT_KEYS } from '../../forms/gateway'
import { GatewayFields } from '../../forms/GatewayFields'
import { Empty, NEEDS_MANAGE } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { LimitsInUse } from './LimitUse'
import { useGatewaySave } from './useGatewaySave'
import type { Endpoint } from '../../types'

/** Usage tracking, limits, fallbacks, retries and timeouts, which are replaced as a whole. */
export function Gateway({ endpoint, manages }: { endpoint: Endpoint; manages: boolean }): ReactNode {
  const [editing, setEditing] = useState(false)
  const features = useFeatures()
  const gateway = endpoint.ai_gateway ?? {}
  if (editing) return <Edit endpoint={endpoint} onClose={() => setEditing(false)} />
  const limits = gateway.rate_limits ?? []
  return (
    <section>
      <div className="card-head">
        <h2>AI Gateway</h2>
        <button type="button" title={manages ? undefined : NEEDS_MANAGE} disabled={!manages} onClick={() => setEditing(true)}>Edit</button>
      </div>
      <dl className="facts">
        <div><dt>Usage tracking</dt><dd>{onOff(gateway.usage_tracking_config?.enabled)}</dd></div>
        <div><dt>Fallbacks</dt><dd>{onOff(gateway.fallback_config?.enabled)}</dd></div>
        <div><dt>Retries</dt><dd>{gateway.retry_config?.max_retries ?? 'at most 2, the default'}</dd></div>
        <div><dt>First byte within</dt><dd>{seconds(gateway.timeout_config?.first_byte_seconds)}</dd></div>
        <div><dt>Between chunks</dt><dd>{seconds(gateway.timeout_config?.idle_seconds)}</dd></div>
        {(features.has('payload_tables') || gateway.inference_table_config?.enabled) && (
          <div><dt>Payload table</dt><dd>{tableOf(endpoint)}</dd></div>
        )}
      </dl>
      <h3>Limits by minute</h3>
      {limits.length === 0
        ? <Empty title="Neither requests nor tokens are limited." />
        : <LimitsInUse name={endpoint.name} keys={LIMIT_KEYS} />}
    </section>
  )
}

const onOff = (enabled: boolean | undefined): ReactNode =>
  enabled ? <span className="state success">On</span> : <span className="state muted">Off</span>
const seconds = (value: number | undefined): string => (value === undefined ? 'the workers’ setting' : `${value} s`)

/** Where payloads are recorded, as a query names it. */
function tableOf({ name, ai_gateway: gateway }: Endpoint): ReactNode {
  const table = gateway?.inference_table_config
  if (!table?.enabled) return onOff(false)
  return <code>{table.catalog_name}.{table.schema_name}.{table.table_name_prefix ?? name}_payload</code>
}

function Edit({ endpoint, onClose }: { endpoint: Endpoint; onClose: () => void }): ReactNode {
  const [gateway] = useState(endpoint.ai_gateway ?? {})
  const [draft, setDraft] = useState(() => gatewayDraft(gateway))
  const { request, busy, save, problem } = useGatewaySave(endpoint, gatewayOf(draft, gateway), onClose)
  return (
    <form onSubmit={(event) => { event.preventDefault(); save() }}>
      <div className="card-head"><h2>AI Gateway</h2><CopyAs request={request} /></div>
      {problem}
      <GatewayFields draft={draft} onChange={setDraft} />
      <div className="form-foot">
        <button type="button" onClick={onClose}>Discard</button>
        <button type="submit" className="primary" disabled={busy}>Save</button>
      </div>
    </form>
  )
}
