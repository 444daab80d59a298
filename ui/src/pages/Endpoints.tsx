import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useEffect, useMemo, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { ENDPOINTS, get, query } from '../api'
import { TASKS } from '../entities'
import { Empty, Failure, Head, Loading, State } from '../kit'
import { focusNext, useKeys } from '../keys'
import { CopyAs } from '../kit/CopyAs'
import { useAddress, useTyped } from '../kit/useAddress'
import { useLive } from '../live'
import { useMe } from '../me'
import { useSettled } from '../settled'
import type { Endpoint } from '../types'
import { FilterBar, NoneLeft } from './endpoints/FilterBar'
import { asked, type Filters, matches, namesOf, PARAMETERS } from './endpoints/filters'
import { List } from './endpoints/List'
import { nextOrder, orderBy, orderOf } from './endpoints/order'

// As many as are shown: each page of the table is a page of the list.
const PAGE = 50
// What changes is told at once where it can be; the calls of the last minute are not.
const COUNTS_MS = 15_000
const AGAIN_MS = 5_000
// The links of the list.
const NAMES = 'td:first-child a'
const FIRST = ['']

/** What the address narrows the list to, with what is being typed. */
function useFilters(): { filters: Filters; order: string; onType: (name: 'search' | 'tag', text: string) => void; onChoose: (change: Partial<Filters & { order: string }>) => void } {
  const address = useAddress(PARAMETERS)
  const [{ order, ...given }, change] = address
  const [search, setSearch] = useTyped(address, 'search')
  const [tag, setTag] = useTyped(address, 'tag')
  return {
    filters: { ...given, search, tag },
    order,
    onType: (name, text) => (name === 'search' ? setSearch(text) : setTag(text)),
    onChoose: (next) => {
      if (next.search !== undefined) setSearch(next.search)
      if (next.tag !== undefined) setTag(next.tag)
      change(next)
    },
  }
}

export function EndpointsPage(): ReactNode {
  const me = useMe()
  const { filters, order, onType, onChoose } = useFilters()
  // Whether there is more than one page: then the deployment searches, by name alone.
  const [long, setLong] = useState(false)
  const live = useLive()
  const settled = { ...filters, search: useSettled(filters.search), tag: useSettled(filters.tag) }
  const parameters = { max_results: PAGE, ...asked(settled, long, me.name), order_by: order, include_recent: 'true' }
  // Tokens of the pages up to the one that is shown, of the list that they belong to.
  const list = ENDPOINTS + query(parameters)
  const [turned, setTurned] = useState({ list, tokens: FIRST })
  const tokens = turned.list === list ? turned.tokens : FIRST
  const turn = (next: string[]): void => setTurned({ list, tokens: next })
  const path = ENDPOINTS + query({ ...parameters, page_token: tokens.at(-1) })
  const shown = useQuery({
    queryKey: ['endpoints', path],
    queryFn: () => get<{ endpoints?: Endpoint[]; next_page_token?: string; total_count?: number }>(path),
    enabled: !filters.mine || me.name !== '',
    // What was there stays until there is an answer.
    placeholderData: (before) => before,
    refetchInterval: live ? COUNTS_MS : AGAIN_MS,
  })
  const page = shown.data?.endpoints ?? []
  const next = shown.data?.next_page_token
  const found = useMemo(() => (long ? page : page.filter((endpoint) => matches(endpoint, filters.search))), [page, long, filters.search])
  const filtered = namesOf(filters).length > 0
  const first = tokens.length === 1
  useEffect(() => {
    if (next !== undefined) setLong(true)
  }, [next])
  const from = (tokens.length - 1) * PAGE
  const total = shown.data?.total_count
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
        <button type="button" onClick={() => void shown.refetch()} disabled={shown.isFetching}>Refresh</button>
        <CopyAs request={{ method: 'GET', path }} />
        <Link className="button primary" href="/endpoints/new">Create serving endpoint</Link>
      </Head>
      <Failure error={shown.error} />
      {shown.isPending && !shown.error && <Loading />}
      {shown.data && page.length === 0 && first && !filtered && <FirstSteps />}
      {shown.data && (page.length > 0 || !first || filtered) && (
        <>
          {first && !filtered && <Foundation endpoints={page.filter(isFoundation)} />}
          <FilterBar filters={filters} long={long} onType={onType} onChoose={onChoose} />
          {found.length === 0
            ? <NoneLeft filters={settled} long={long} me={me.name} onClear={onChoose} />
            : <List endpoints={found} order={orderOf(order)} onOrder={(by) => onChoose({ order: orderBy(nextOrder(orderOf(order), by)) })} />}
          <p className="muted foot" role="status">
            {first && next === undefined ? `${found.length} of ${page.length}` : `${from + 1} to ${from + page.length}${total === undefined ? '' : ` of ${total}`}`}
            {!first && <button type="button" className="small" onClick={() => turn(tokens.slice(0, -1))}>Previous</button>}
            {next !== undefined && <button type="button" className="small" disabled={shown.isPlaceholderData} onClick={() => turn([...tokens, next])}>Next</button>}
          </p>
        </>
      )}
    </>
  )
}

const SHOWN_FOUNDATION = 6

function isFoundation({ endpoint_type: type, config }: Endpoint): boolean {
  return type === 'FOUNDATION_MODEL_API'
    || (config?.served_entities ?? []).some(({ entity_name: name }) => name?.startsWith('system.ai.'))
}

/** The models that the deployment itself offers, above all others. */
function Foundation({ endpoints }: { endpoints: Endpoint[] }): ReactNode {
  const [all, setAll] = useState(false)
  if (endpoints.length === 0) return null
  return (
    <section aria-label="Foundation models">
      <div className="card-head">
        <h2>Foundation models</h2>
        {endpoints.length > SHOWN_FOUNDATION && !all && <button type="button" className="small" onClick={() => setAll(true)}>Show all {endpoints.length}</button>}
      </div>
      <div className="strip">
        {endpoints.slice(0, all ? undefined : SHOWN_FOUNDATION).map((endpoint) => (
          <Link key={endpoint.name} className="card" href={`/playground/${encodeURIComponent(endpoint.name)}`}>
            <strong>{endpoint.name}</strong>
            <span><State endpoint={endpoint} /> <span className="muted">{TASKS[endpoint.task ?? ''] ?? endpoint.task}</span></span>
          </Link>
        ))}
      </div>
    </section>
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
