import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { type ApiRequest, endpointPath, get, query, readText, run } from '../api'
import { Check, Empty, Failure, Head, Loading } from '../kit'
import { CopyAs } from '../kit/CopyAs'
import { useAddress, useTyped } from '../kit/useAddress'
import type { UsageRow, UsageTotal } from '../types'
import { Course, Totals } from './UsageCharts'
import { chosenOf, GROUPS, groupsOf, isTold, LATENCIES, NONE, OF_ALL, OF_ONE, RANGES, spanOf, STATUSES, toldOf } from './usageAddress'
import { Drilled, GroupChoice } from './UsageParts'
import { Requests } from './UsageRequests'

export function UsagePage(): ReactNode {
  return <><Head title="Usage"><Link className="button" href="/usage/prices">Prices</Link></Head><Explorer /></>
}

export function EndpointUsage({ name, tracked }: { name: string; tracked: boolean }): ReactNode {
  const queries = useQueryClient()
  const enable = useMutation({
    mutationFn: async () => {
      const path = endpointPath(name, '/ai-gateway')
      const now = await get<object>(path)
      return run({ method: 'PUT', path, body: { ...now, usage_tracking_config: { enabled: true } } })
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['endpoint', name] }),
  })
  return (
    <>
      {!tracked && (
        <div className="banner warning">
          <strong>Usage is not tracked.</strong> Who asks, how many tokens and how long can be recorded from now on; prompts and answers never are.{' '}
          <button type="button" className="small" disabled={enable.isPending} onClick={() => enable.mutate()}>Enable usage tracking</button>
          <Failure error={enable.error} />
        </div>
      )}
      <Explorer endpoint={name} />
    </>
  )
}

function Explorer({ endpoint }: { endpoint?: string }): ReactNode {
  const address = useAddress(endpoint === undefined ? OF_ALL : OF_ONE)
  const [given, change] = address
  const [requester, setRequester] = useTyped(address, 'requester')
  const [tag, setTag] = useTyped(address, 'tag')
  const [requestId, setRequestId] = useTyped(address, 'request_id')
  // Whole minutes, so that the same question is asked again and again.
  const [now, setNow] = useState(() => Math.ceil(Date.now() / 60_000) * 60_000)
  const path = endpoint === undefined ? '/api/2.0/usage' : endpointPath(endpoint, '/usage')
  const groups = groupsOf(given)
  const [start, end] = spanOf(given, now)
  const chosen = chosenOf(given)
  const filters = { start_time: start, end_time: end, ...chosen }
  const filtered = Object.values(chosen).some((value) => value !== '')
  const asked = path + query({ ...filters, group_by: groups.join(','), percentiles: 'true' })
  const totals = useQuery({
    queryKey: ['usage', asked],
    queryFn: () => get<{ totals?: UsageTotal[] }>(asked),
    enabled: groups.length > 0,
  })
  const request: ApiRequest = { method: 'GET', path: asked }
  const found = totals.data?.totals ?? []
  const offered = Object.keys(GROUPS).filter((group) => (endpoint === undefined || group !== 'endpoint') && isTold(group, given.range))
  return (
    <>
      <div className="filters">
        <select aria-label="Time" value={given.start === 0 ? given.range : ''} onChange={(event) => change({ range: event.target.value, start: 0 })}>
          {given.start !== 0 && <option value="">Time: as below</option>}
          {Object.entries(RANGES).map(([value, { title }]) => <option key={value} value={value}>{title}</option>)}
        </select>
        <GroupChoice label="Group by" word="By" name="group" groups={offered} address={address} />
        <GroupChoice label="Then by" word="Then by" name="then" none="Then by: nothing" groups={offered.filter((group) => group !== toldOf(given.group, given.range))} address={address} />
        <span className="grow" />
        <button type="button" onClick={() => setNow(Math.ceil(Date.now() / 1000) * 1000)}>Refresh</button>
        {groups.length > 0 && <Download path={`${asked}&format=csv`} />}
        {groups.length > 0 && <CopyAs request={request} />}
      </div>
      <div className="filters many">
        <input type="search" aria-label="Requester" placeholder="Requester" maxLength={256} value={requester} onChange={(event) => setRequester(event.target.value)} />
        <input type="search" aria-label="Tag" placeholder="Tag or key=value" maxLength={256} value={tag} onChange={(event) => setTag(event.target.value)} />
        <select aria-label="Status" value={given.status_code} onChange={(event) => change({ status_code: event.target.value })}>
          {given.status_code in STATUSES || <option>{given.status_code}</option>}
          {Object.entries(STATUSES).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
        </select>
        <select aria-label="Latency" value={given.min_latency_ms} onChange={(event) => change({ min_latency_ms: event.target.value })}>
          {Object.entries(LATENCIES).map(([value, text]) => <option key={value} value={value}>{text}</option>)}
        </select>
        <input type="search" aria-label="Request id" placeholder="Request id" maxLength={256} value={requestId} onChange={(event) => setRequestId(event.target.value)} />
        <Check label="Fallbacks only" checked={given.fallback_only} onChange={(only) => change({ fallback_only: only })} />
      </div>
      <Drilled given={given} onChange={change} />
      <Failure error={totals.error} />
      {groups.length === 0 && <Empty title="Type the key of a tag, such as team." />}
      {groups.length > 0 && totals.isPending && !totals.error && <Loading />}
      {totals.data && found.length === 0 && filtered && (
        <Empty title="No request of this time passes these filters.">
          <button type="button" onClick={() => change(NONE)}>Clear filters</button>
        </Empty>
      )}
      {totals.data && found.length === 0 && !filtered && (
        <Empty title="Nothing was recorded in this time.">
          <p>Endpoints whose AI Gateway tracks usage are recorded, one row for each query. Prompts and answers are nowhere.</p>
        </Empty>
      )}
      {found.length > 0 && (
        <>
          <Course path={path} filters={filters} groups={groups} totals={found} span={[start, end]} onChange={change} />
          <Totals groups={groups} totals={found} given={given} onChange={change} />
          <Rows path={path} filters={filters} />
        </>
      )}
    </>
  )
}

function Rows({ path, filters }: { path: string; filters: Record<string, string | number> }): ReactNode {
  const rows = useInfiniteQuery({
    queryKey: ['usage-rows', path, filters],
    queryFn: ({ pageParam }) => get<{ usage?: UsageRow[]; next_page_token?: string }>(
      path + query({ ...filters, max_results: 50, page_token: pageParam })),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_page_token,
  })
  return (
    <section>
      <h2>Requests</h2>
      <Failure error={rows.error} />
      <Requests rows={rows.data?.pages.flatMap(({ usage }) => usage ?? []) ?? []} />
      {rows.hasNextPage && <button type="button" disabled={rows.isFetchingNextPage} onClick={() => void rows.fetchNextPage()}>Show older</button>}
    </section>
  )
}

function Download({ path }: { path: string }): ReactNode {
  const save = useMutation({
    mutationFn: async () => {
      const url = URL.createObjectURL(new Blob([await readText(path)], { type: 'text/csv' }))
      const link = document.createElement('a')
      link.href = url
      link.download = 'usage.csv'
      link.click()
      URL.revokeObjectURL(url)
    },
  })
  return <button type="button" title={save.error?.message} disabled={save.isPending} onClick={() => save.mutate()}>CSV</button>
}
