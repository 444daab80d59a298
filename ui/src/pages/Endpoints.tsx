import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { type ReactNode, useEffect, useMemo, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { ENDPOINTS, get, query } from '../api'
import { TASKS } from '../forms/draft'
import { ago, when } from '../format'
import { Empty, Failure, Head, Loading, State, Table } from '../kit'
import { focusNext, useKeys } from '../keys'
import { useMe } from '../me'
import { describeState } from '../state'
import type { Endpoint } from '../types'

const PAGE = 200
const SHOWN = 100
const SETTLED_MS = 60
// The links of the list.
const NAMES = 'td:first-child a'

interface Filters { text: string; state: string; task: string; provider: string; mine: boolean }
const NONE: Filters = { text: '', state: '', task: '', provider: '', mine: false }

export function EndpointsPage(): ReactNode {
  const me = useMe()
  const [filters, setFilters] = useState(NONE)
  const [shown, setShown] = useState(SHOWN)
  // Whether there are more than one page: then the deployment searches, by name alone.
  const [long, setLong] = useState(false)
  const typed = useSettled(filters.text.trim())
  const search = long ? typed : ''
  const list = useInfiniteQuery({
    queryKey: ['endpoints', search],
    queryFn: ({ pageParam }) => get<{ endpoints?: Endpoint[]; next_page_token?: string }>(
      ENDPOINTS + query({ max_results: PAGE, page_token: pageParam, search })),
    initialPageParam: '',
    // What was there stays until there is an answer.
    placeholderData: (before) => before,
    getNextPageParam: (page) => page.next_page_token,
    // Of many pages each would be asked for again.
    refetchInterval: ({ state }) => ((state.data?.pages.length ?? 1) === 1 ? 5000 : false),
  })
  const all = useMemo(() => list.data?.pages.flatMap((page) => page.endpoints ?? []) ?? [], [list.data])
  const found = useMemo(() => all.filter((endpoint) => matches(endpoint, filters, me.name)), [all, filters, me.name])
  const sifted = filters.state !== '' || filters.task !== '' || filters.provider !== '' || filters.mine
  const filtered = sifted || filters.text !== ''
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = list
  useEffect(() => {
    if (hasNextPage) setLong(true)
  }, [hasNextPage])
  // These filters are for all endpoints, those that are not here yet included.
  useEffect(() => {
    if (sifted && hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [sifted, hasNextPage, isFetchingNextPage, fetchNextPage])
  const set = (change: Partial<Filters>): void => { setFilters({ ...filters, ...change }); setShown(SHOWN) }
  const [, navigate] = useLocation()
  useKeys({
    '/': () => document.querySelector<HTMLElement>('input[type=search]')?.focus(),
    c: () => navigate('/endpoints/new'),
    j: () => focusNext(NAMES, 1),
    k: () => focusNext(NAMES, -1),
  })
  const more = found.length > shown || (hasNextPage && !sifted)
  return (
    <>
      <Head title="Serving endpoints">
        <button type="button" onClick={() => void list.refetch()} disabled={list.isFetching}>Refresh</button>
        <Link className="button primary" href="/endpoints/new">Create serving endpoint</Link>
      </Head>
      <Failure error={list.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && all.length === 0 && search === '' && <FirstSteps />}
      {(all.length > 0 || search !== '') && (
        <>
          <Foundation endpoints={all.filter(isFoundation)} />
          <FilterBar filters={filters} all={all} long={long} onChange={set} />
          {found.length === 0
            ? (
              <Empty title={hasNextPage && sifted ? `None of ${all.length} so far; looking on …` : 'No endpoint passes these filters.'}>
                <button type="button" onClick={() => set(NONE)}>Clear filters</button>
              </Empty>
            )
            : <List endpoints={found.slice(0, shown)} />}
          <p className="muted foot" role="status">
            {Math.min(shown, found.length)} of {found.length}{hasNextPage ? ' or more' : ''}{filtered && search === '' ? ` (${all.length} without filters)` : ''}
            {more && <button type="button" className="small" disabled={isFetchingNextPage} onClick={() => {
              if (found.length <= shown) void fetchNextPage()
              setShown(shown + SHOWN)
            }}>Show more</button>}
          </p>
        </>
      )}
    </>
  )
}

/** A value once it has stopped changing, so that not each key is a request. */
function useSettled(value: string): string {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLED_MS)
    return () => clearTimeout(timer)
  }, [value])
  return settled
}

function matches(endpoint: Endpoint, filters: Filters, me: string): boolean {
  const entities = endpoint.config?.served_entities ?? []
  const text = [
    endpoint.name,
    ...(endpoint.tags ?? []).flatMap(({ key, value }) => [key, value ?? '']),
    ...entities.flatMap((entity) => [entity.name, entity.entity_name ?? '', entity.external_model?.name ?? '']),
  ].join('\n').toLowerCase()
  return text.includes(filters.text.trim().toLowerCase())
    && (filters.state === '' || describeState(endpoint).text === filters.state)
    && (filters.task === '' || endpoint.task === filters.task)
    && (filters.provider === '' || entities.some((entity) => providerOf(entity) === filters.provider))
    && (!filters.mine || endpoint.creator === me)
}

const SHOWN_FOUNDATION = 6

function isFoundation({ endpoint_type: type, config }: Endpoint): boolean {
  return type === 'FOUNDATION_MODEL_API'
    || (config?.served_entities ?? []).some(({ entity_name: name }) => name?.startsWith('system.ai.'))
}

/** The models that the deployment itself offers, above all others. */
function Foundation({ endpoints }: { endpoints: Endpoint[] }): ReactNode {
  if (endpoints.length === 0) return null
  return (
    <section aria-label="Foundation models">
      <h2>Foundation models</h2>
      <div className="strip">
        {endpoints.slice(0, SHOWN_FOUNDATION).map((endpoint) => (
          <Link key={endpoint.name} className="card" href={`/playground/${encodeURIComponent(endpoint.name)}`}>
            <strong>{endpoint.name}</strong>
            <span><State endpoint={endpoint} /> <span className="muted">{TASKS[endpoint.task ?? ''] ?? endpoint.task}</span></span>
          </Link>
        ))}
      </div>
    </section>
  )
}

function providerOf(entity: { external_model?: { provider: string } }): string {
  return entity.external_model?.provider ?? 'hosted'
}

function values(all: Endpoint[], of: (endpoint: Endpoint) => (string | undefined)[]): string[] {
  return [...new Set(all.flatMap(of))].filter((value) => value !== undefined && value !== '').sort() as string[]
}

function FilterBar({ filters, all, long, onChange }: {
  filters: Filters
  all: Endpoint[]
  long: boolean
  onChange: (change: Partial<Filters>) => void
}): ReactNode {
  return (
    <div className="filters" role="search">
      <input type="search" aria-label="Search" maxLength={63} placeholder={long ? 'Name' : 'Name, tag or model'} value={filters.text} onChange={(event) => onChange({ text: event.target.value })} />
      <Select label="State" value={filters.state} values={values(all, (endpoint) => [describeState(endpoint).text])} onChange={(state) => onChange({ state })} />
      <Select label="Task" value={filters.task} values={values(all, ({ task }) => [task])} onChange={(task) => onChange({ task })} />
      <Select label="Provider" value={filters.provider} values={values(all, ({ config }) => (config?.served_entities ?? []).map(providerOf))} onChange={(provider) => onChange({ provider })} />
      <label className="check"><input type="checkbox" checked={filters.mine} onChange={(event) => onChange({ mine: event.target.checked })} />Mine</label>
    </div>
  )
}

function Select({ label, value, values, onChange }: {
  label: string
  value: string
  values: string[]
  onChange: (value: string) => void
}): ReactNode {
  return (
    <select aria-label={label} value={value} onChange={(event) => onChange(event.target.value)}>
      <option value="">{label}: all</option>
      {values.map((item) => <option key={item} value={item}>{TASKS[item] ?? item}</option>)}
    </select>
  )
}

function List({ endpoints }: { endpoints: Endpoint[] }): ReactNode {
  return (
    <Table label="Serving endpoints" rows={endpoints} id={({ name }) => name} columns={[
      { title: 'Name', cell: ({ name, description }) => <Link className="strong" href={`/endpoints/${encodeURIComponent(name)}`} title={description}>{name}</Link> },
      { title: 'State', cell: (endpoint) => <State endpoint={endpoint} /> },
      { title: 'Served entities', cell: (endpoint) => <Entities endpoint={endpoint} /> },
      { title: 'Task', cell: ({ task }) => TASKS[task ?? ''] ?? task ?? '–' },
      { title: 'Creator', cell: ({ creator }) => creator },
      { title: 'Updated', narrow: true, cell: ({ last_updated_timestamp: time }) => <span title={when(time)}>{ago(time)}</span> },
      { title: '', narrow: true, cell: ({ name }) => <Link className="small button" href={`/playground/${encodeURIComponent(name)}`} aria-label={`Query ${name}`}>Query</Link> },
    ]} />
  )
}

function Entities({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const entities = endpoint.config?.served_entities ?? endpoint.pending_config?.served_entities ?? []
  if (entities.length === 0) return <span className="muted">no configuration yet</span>
  return entities.map((entity) => (
    <span className="chip" key={entity.name} title={providerOf(entity)}>
      {entity.external_model?.name ?? `${entity.entity_name} ${entity.entity_version ?? ''}`}
    </span>
  ))
}

/** The way to a first answer, for who has none yet. */
function FirstSteps(): ReactNode {
  const scopes = useQuery({
    queryKey: ['scopes'],
    queryFn: () => get<{ scopes?: unknown[] }>('/api/2.0/secrets/scopes/list'),
  })
  const stored = (scopes.data?.scopes?.length ?? 0) > 0
  return (
    <Empty title="There are no endpoints yet, or none that you may see.">
      <ol className="steps">
        <li>{stored ? <>✓ There is a <Link href="/secrets">secret</Link>.</> : <>Store the key of a provider as a <Link href="/secrets">secret</Link>, or do it on the way.</>}</li>
        <li>Create an endpoint for a model of that provider.</li>
        <li>Ask it in the playground, or with the client that you have.</li>
      </ol>
      <p><Link className="button primary" href="/endpoints/new/ask">Create and ask an endpoint</Link></p>
    </Empty>
  )
}
