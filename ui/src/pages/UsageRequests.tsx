import { type ReactNode, useState } from 'react'
import { count, duration, when } from '../format'
import { money } from './usageTotals'
import { Dialog, Table } from '../kit'
import type { UsageRow } from '../types'

/** Single queries, the newest first; never what was asked or answered. */
export function Requests({ rows }: { rows: UsageRow[] }): ReactNode {
  const [open, setOpen] = useState<UsageRow | null>(null)
  return (
    <>
      <Table label="Requests" rows={rows} id={({ entry_id }) => entry_id} columns={[
        { title: 'Time', cell: (row) => <button type="button" className="link" onClick={() => setOpen(row)}>{when(row.request_time)}</button> },
        { title: 'Endpoint', cell: ({ endpoint_name }) => endpoint_name },
        { title: 'Entity', cell: ({ served_entity_name }) => served_entity_name ?? '–' },
        { title: 'Requester', long: true, cell: ({ requester }) => requester },
        { title: 'Status', cell: (row) => <span className={`state ${lookOf(row)}`}>{row.status_code ?? row.state}</span> },
        { title: 'Tokens in', number: true, cell: (row) => tokens(row, row.input_token_count) },
        { title: 'Out', number: true, cell: (row) => tokens(row, row.output_token_count) },
        ...(rows.some(({ cost }) => cost) ? [{ title: 'Cost', number: true, cell: ({ cost, currency }: UsageRow) => money(cost, currency) }] : []),
        { title: 'First chunk', number: true, cell: ({ first_chunk_ms }) => duration(first_chunk_ms) },
        { title: 'Latency', number: true, cell: ({ latency_ms }) => duration(latency_ms) },
      ]} />
      {open && <Detail row={open} onClose={() => setOpen(null)} />}
    </>
  )
}

function tokens(row: UsageRow, value: number | null): string {
  return value === null ? '–' : `${row.token_counts_estimated ? '~' : ''}${count(value)}`
}

function lookOf({ status_code: status }: UsageRow): string {
  return status === null ? 'warning' : status < 400 ? 'success' : 'danger'
}

function Detail({ row, onClose }: { row: UsageRow; onClose: () => void }): ReactNode {
  return (
    <Dialog title={`Request at ${when(row.request_time)}`} wide onClose={onClose}>
      <dl className="facts">
        <div><dt>Request id</dt><dd><code>{row.databricks_request_id}</code></dd></div>
        <div><dt>Client’s request id</dt><dd>{row.client_request_id ?? '–'}</dd></div>
        <div><dt>Task</dt><dd>{row.task ?? '–'}</dd></div>
        <div><dt>Model</dt><dd>{row.model ?? 'unknown'} {row.provider && <span className="muted">{row.provider}</span>}</dd></div>
        <div><dt>Cost</dt><dd>{row.cost === null ? '–' : `${row.cost} ${row.currency}`}</dd></div>
        <div><dt>Streamed</dt><dd>{row.request_streaming ? 'yes' : 'no'}</dd></div>
        {row.state === 'UNKNOWN' && <div className="whole"><dt>State</dt><dd>Unknown: the worker that answered it has ended without saying how it went.</dd></div>}
        <div className="broad"><dt>Error</dt><dd>{row.error ?? 'none'}</dd></div>
      </dl>
      <h3>Attempts</h3>
      <ol className="ladder">
        {(row.attempts ?? []).map((attempt, place) => (
          <li key={place}><strong>{attempt.served_entity_name}</strong> {attempt.error === '' ? <span className="state success">answered</span> : <span className="state danger">{attempt.error}</span>} <span className="muted">{duration(attempt.latency_ms)}</span></li>
        ))}
      </ol>
      {Object.keys(row.usage_context ?? {}).length > 0 && <><h3>Usage context</h3><pre>{JSON.stringify(row.usage_context, null, 2)}</pre></>}
    </Dialog>
  )
}
