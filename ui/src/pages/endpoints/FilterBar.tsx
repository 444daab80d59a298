import { useQueries } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { ENDPOINTS, get, query } from '../../api'
import { TASKS } from '../../entities'
import { Empty } from '../../kit'
import type { Endpoint } from '../../types'
import { asked, type Filters, matches, MOST_SEARCHED, MOST_TAG, namesOf, NONE, PROVIDERS, STATES, TITLES } from './filters'

export function FilterBar({ filters, long, onType, onChoose }: {
  filters: Filters
  long: boolean
  /** Of what is typed, for which the address takes no step. */
  onType: (name: 'search' | 'tag', text: string) => void
  onChoose: (change: Partial<Filters>) => void
}): ReactNode {
  return (
    <div className="filters" role="search">
      <input type="search" aria-label="Search" maxLength={MOST_SEARCHED} placeholder={long ? 'Name' : 'Name, tag or model'} value={filters.search} onChange={(event) => onType('search', event.target.value)} />
      <Select label="State" value={filters.state} values={STATES} onChange={(state) => onChoose({ state })} />
      <Select label="Task" value={filters.task} values={Object.keys(TASKS)} onChange={(task) => onChoose({ task })} />
      <Select label="Provider" value={filters.provider} values={PROVIDERS} onChange={(provider) => onChoose({ provider })} />
      <input type="search" className="tag" aria-label="Tag" maxLength={MOST_TAG} placeholder="Tag: key or key=value" value={filters.tag} onChange={(event) => onType('tag', event.target.value)} />
      <label className="check"><input type="checkbox" checked={filters.mine} onChange={(event) => onChoose({ mine: event.target.checked })} />Mine</label>
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

// More are not counted: a page is what the deployment looks through at once.
const COUNTED = 50

/** Says of each filter how many endpoints it alone hides, where all of them together leave none. */
export function NoneLeft({ filters, long, me, onClear }: {
  filters: Filters
  long: boolean
  me: string
  onClear: (change: Partial<Filters>) => void
}): ReactNode {
  const names = namesOf(filters)
  const without = names.map((name) => ({ ...filters, [name]: NONE[name] }))
  const found = useQueries({
    queries: without.map((others) => {
      const path = ENDPOINTS + query({ max_results: COUNTED, ...asked(others, long, me) })
      return { queryKey: ['endpoints', 'hidden', path], queryFn: () => get<{ endpoints?: Endpoint[]; next_page_token?: string }>(path) }
    }),
  })
  return (
    <Empty title="No endpoint passes these filters.">
      {names.length > 1 && (
        <ul className="hidden-by" aria-label="What each filter hides">
          {names.map((name, place) => {
            const page = found[place]?.data
            const search = without[place]?.search ?? ''
            const count = page?.endpoints?.filter((endpoint) => long || matches(endpoint, search)).length
            const more = page?.next_page_token === undefined ? '' : ' or more'
            return (
              <li key={name}>
                <button type="button" className="small" aria-label={`Clear ${TITLES[name]}`} onClick={() => onClear({ [name]: NONE[name] })}>{TITLES[name]} ✕</button>
                <span>{count === undefined ? '…' : count === 0 && more === '' ? 'hides none by itself' : `hides ${count}${more}`}</span>
              </li>
            )
          })}
        </ul>
      )}
      <button type="button" onClick={() => onClear(NONE)}>Clear filters</button>
    </Empty>
  )
}
