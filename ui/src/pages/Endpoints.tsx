import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useEffect, useMemo, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { ENDPOINTS, get, query } from '../api'
import { PROVIDERS } from '../forms/cases'
import { TASKS } from '../forms/draft'
import { Empty, Failure, Head, Loading, type Order, State } from '../kit'
import { focusNext, useKeys } from '../keys'
import { CopyAs } from '../kit/CopyAs'
import { useLive } from '../live'
import { useMe } from '../me'
import { useSettled } from '../settled'
import type { Endpoint } from '../types'
import { List } from './endpoints/List'
import { nextOrder, orderBy } from './endpoints/order'

// As many as are shown: each page of the table is a page of the list.
const PAGE = 50
// What changes is told at once where it can be; the calls of the last minute are not.
const COUNTS_MS = 15_000
const AGAIN_MS = 5_000
// The links of the list.
const NAMES = 'td:first-child a'

interface Filters { text: string; state: string; task: string; provider: string; mine: boolean }
const NONE: Filters = { text: '', state: '', task: '', provider: '', mine: false }

// What the deployment is asked for, by what is chosen.
const STATES: Record<string, Record<string, string>> = {
  Ready: { ready: 'READY' },
  'Not Ready': { ready: 'NOT_READY' },
  Updating: { config_update: 'IN_PROGRESS' },
  'Update failed': { config_update: 'UPDATE_FAILED' },
  'Update canceled': { config_update: 'UPDATE_CANCELED' },
}

export function EndpointsPage(): ReactNode {
  const me = useMe()
  const [filters, setFilters] = useState(NONE)
  // Tokens of the pages up to the one that is shown.
  const [tokens, setTokens] = useState([''])
  // Whether there is more than one page: then the deployment searches, by name alone.
  const [long, setLong] = useState(false)
  const [order, setOrder] = useState<Order | null>(null)
  const live = useLive()
  const typed = useSettled(filters.text.trim())
  const search = long ? typed : ''
  const { state, task, provider, mine } = filters
  const path = ENDPOINTS + query({
    max_results: PAGE, page_token: tokens.at(-1), search, ...STATES[state], task, provider, creator: mine ? me.name : '',
    order_by: orderBy(order), include_recent: 'true',
  })
  const list = useQuery({
    queryKey: ['endpoints', path],
    queryFn: () => get<{ endpoints?: Endpoint[]; next_page_token?: string; total_count?: number }>(path),
    // What was there stays until there is an answer.
    placeholderData: (before) => before,
    refetchInterval: live ? COUNTS_MS : AGAIN_MS,
  })
  const page = list.data?.endpoints ?? []
  const next = list.data?.next_page_token
  const found = useMemo(() => (long ? page : page.filter((endpoint) => matches(endpoint, filters.text))), [page, long, filters.text])
  const sifted = state !== '' || task !== '' || provider !== '' || mine
  const filtered = sifted || filters.text !== ''
  const first = tokens.length === 1
  useEffect(() => {
    if (next !== undefined && !sifted) setLong(true)
  }, [next, sifted])
  const set = (change: Partial<Filters>): void => { setFilters({ ...filters, ...change }); setTokens(['']) }
  const from = (tokens.length - 1) * PAGE
  const total = list.data?.total_count
  const [, navigate] = useLocation()
  useKeys({
    '/': () => document.querySelector<HTMLElement>('input[type=search]')?.focus(),
    c: () => navigate('/endpoints/new'),
    j: () => focusNext(NAMES, 1),
    k: () => focusNext(NAMES, -1),
  })
  return (
    <>
      <Head title="Serving endpoints">
        <button type="button" onClick={() => void list.refetch()} disabled={list.isFetching}>Refresh</button>
        <CopyAs request={{ method: 'GET', path }} />
        <Link className="button primary" href="/endpoints/new">Create serving endpoint</Link>
      </Head>
      <Failure error={list.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && page.length === 0 && first && !filtered && <FirstSteps />}
      {list.data && (page.length > 0 || !first || filtered) && (
        <>
          {first && !filtered && <Foundation endpoints={page.filter(isFoundation)} />}
          <FilterBar filters={filters} long={long} onChange={set} />
          {found.length === 0
            ? <Empty title="No endpoint passes these filters."><button type="button" onClick={() => set(NONE)}>Clear filters</button></Empty>
            : <List endpoints={found} order={order} onOrder={(by) => { setOrder(nextOrder(order, by)); setTokens(['']) }} />}
          <p className="muted foot" role="status">
            {first && next === undefined ? `${found.length} of ${page.length}` : `${from + 1} to ${from + page.length}${total === undefined ? '' : ` of ${total}`}`}
            {!first && <button type="button" className="small" onClick={() => setTokens(tokens.slice(0, -1))}>Previous</button>}
            {next !== undefined && <button type="button" className="small" disabled={list.isPlaceholderData} onClick={() => setTokens([...tokens, next])}>Next</button>}
          </p>
        </>
      )}
    </>
  )
}

function matches(endpoint: Endpoint, wanted: string): boolean {
  const entities = endpoint.config?.served_entities ?? []
  const text = [
    endpoint.name,
    ...(endpoint.tags ?? []).flatMap(({ key, value }) => [key, value ?? '']),
    ...entities.flatMap((entity) => [entity.name, entity.entity_name ?? '', entity.external_model?.name ?? '']),
  ].join('\n').toLowerCase()
  return text.includes(wanted.trim().toLowerCase())
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

function FilterBar({ filters, long, onChange }: {
  filters: Filters
  long: boolean
  onChange: (change: Partial<Filters>) => void
}): ReactNode {
  return (
    <div className="filters" role="search">
      <input type="search" aria-label="Search" maxLength={63} placeholder={long ? 'Name' : 'Name, tag or model'} value={filters.text} onChange={(event) => onChange({ text: event.target.value })} />
      <Select label="State" value={filters.state} values={Object.keys(STATES)} onChange={(state) => onChange({ state })} />
      <Select label="Task" value={filters.task} values={Object.keys(TASKS)} onChange={(task) => onChange({ task })} />
      <Select label="Provider" value={filters.provider} values={[...PROVIDERS.map(({ provider }) => provider), 'hosted']} onChange={(provider) => onChange({ provider })} />
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
