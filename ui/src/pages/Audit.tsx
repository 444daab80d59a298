import { useInfiniteQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type ApiRequest, get, query } from '../api'
import { oneOf, text } from '../address'
import { exactly } from '../format'
import { Dialog, Empty, Failure, Head, Loading, Table } from '../kit'
import { CopyAs } from '../kit/CopyAs'
import { useAddress, useTyped } from '../kit/useAddress'
import type { AuditEvent } from '../types'

const PATH = '/api/2.0/audit-events'
const HOUR = 3_600_000
// How long ago events may be, by its name in the address.
const TIMES: Record<string, [string, number]> = { '': ['Time: all', 0], hour: ['Last hour', HOUR], day: ['Last 24 hours', 24 * HOUR], week: ['Last 7 days', 168 * HOUR] }
const PARAMETERS = { principal: text(), action: text(), object_name: text(), outcome: oneOf<string>(['OK', 'REFUSED'], ''), time: oneOf(Object.keys(TIMES), '') }

export function AuditPage(): ReactNode {
  const address = useAddress(PARAMETERS)
  const [{ outcome, time }, change] = address
  const [principal, setPrincipal] = useTyped(address, 'principal')
  const [action, setAction] = useTyped(address, 'action')
  const [object, setObject] = useTyped(address, 'object_name')
  // Whole minutes, so that the same question is asked again and again.
  const [now] = useState(() => Math.floor(Date.now() / 60_000) * 60_000)
  const [, length] = TIMES[time] ?? ['', 0]
  const since = length > 0 ? now - length : 0
  const [open, setOpen] = useState<AuditEvent | null>(null)
  const filters = { principal: principal.trim(), action: action.trim(), object_name: object.trim(), outcome, ...(since > 0 ? { start_time: since } : {}) }
  const list = useInfiniteQuery({
    queryKey: ['audit', filters],
    queryFn: ({ pageParam }) => get<{ events?: AuditEvent[]; next_page_token?: string }>(PATH + query({ ...filters, max_results: 100, page_token: pageParam })),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_page_token,
  })
  const events = list.data?.pages.flatMap((page) => page.events ?? []) ?? []
  const request: ApiRequest = { method: 'GET', path: PATH + query(filters) }
  return (
    <>
      <Head title="Audit log"><CopyAs request={request} /></Head>
      <div className="filters" role="search">
        <select aria-label="Time" value={time} onChange={(event) => change({ time: event.target.value })}>
          {Object.entries(TIMES).map(([value, [title]]) => <option key={value} value={value}>{title}</option>)}
        </select>
        <input type="search" aria-label="Principal" placeholder="Principal" value={principal} onChange={(event) => setPrincipal(event.target.value)} />
        <input type="search" aria-label="Action" placeholder="Action, such as PutSecret" value={action} onChange={(event) => setAction(event.target.value)} />
        <input type="search" aria-label="Object" placeholder="Object" value={object} onChange={(event) => setObject(event.target.value)} />
        <select aria-label="Outcome" value={outcome} onChange={(event) => change({ outcome: event.target.value })}>
          <option value="">Outcome: all</option><option value="OK">OK</option><option value="REFUSED">Refused</option>
        </select>
        <button type="button" onClick={() => void list.refetch()}>Refresh</button>
      </div>
      <Failure error={list.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && events.length === 0 && <Empty title="No event passes these filters." />}
      {events.length > 0 && (
        <Table label="Audit events" rows={events} id={({ id }) => id} columns={[
          { title: 'Time', cell: (event) => <button type="button" className="link" onClick={() => setOpen(event)}>{exactly(event.time)}</button> },
          { title: 'Principal', long: true, cell: ({ principal_name: name }) => name || <span className="muted">unknown</span> },
          { title: 'Action', cell: (event) => <strong>{event.action}</strong> },
          { title: 'Object', long: true, cell: ({ object_type: type, object_name: name }) => <>{name} <span className="muted">{type}</span></> },
          { title: 'Outcome', cell: (event) => <span className={`state ${event.outcome === 'OK' ? 'success' : 'danger'}`}>{event.outcome}{event.count > 1 ? ` ×${event.count}` : ''}</span> },
          { title: 'From', cell: ({ source_address: address }) => address },
        ]} />
      )}
      {list.hasNextPage && <button type="button" disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>Show older</button>}
      {open && (
        <Dialog title={open.action} wide onClose={() => setOpen(null)}>
          <dl className="facts">
            <div><dt>Time</dt><dd>{exactly(open.time)}</dd></div>
            <div><dt>Status</dt><dd>{open.http_status} {open.error_code}</dd></div>
            <div><dt>Principal</dt><dd>{open.principal_name}</dd></div>
            <div><dt>From</dt><dd>{open.source_address}</dd></div>
            <div className="broad"><dt>Request id</dt><dd><code>{open.request_id}</code></dd></div>
          </dl>
          <h3>What was asked</h3>
          <pre tabIndex={0}>{JSON.stringify(open.details ?? {}, null, 2)}</pre>
        </Dialog>
      )}
    </>
  )
}
