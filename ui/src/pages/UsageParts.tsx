/** What the explorer of usage is narrowed to, and what it cost. */
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { count, when } from '../format'
import { type Change, useTyped } from '../kit/useAddress'
import { useMe } from '../me'
import type { UsageTotal } from '../types'
import { DRILLED, type Explored, isKey, type OF_ALL, spanOf, TAG, titleOfGroup, toldOf } from './usageAddress'
import { groupValue, money, type Sum } from './usageTotals'

/** What has no value is called so. */
export const NO_VALUE = 'none'

const TIMES: Record<string, Intl.DateTimeFormatOptions> = {
  day: { dateStyle: 'medium' },
  hour: { dateStyle: 'medium', timeStyle: 'short' },
  minute: { dateStyle: 'medium', timeStyle: 'short' },
}

export function titleOf(group: string, row: UsageTotal): string {
  const value = groupValue(group, row)
  const form = TIMES[group]
  return form === undefined ? value || NO_VALUE : new Date(Number(value)).toLocaleString(undefined, form)
}

/** A dimension, and of a tag its key. */
export function GroupChoice({ label, word, groups, none, address, name }: {
  label: string
  /** What each choice begins with. */
  word: string
  groups: readonly string[]
  /** What it says if there is none. */
  none?: string
  address: [Explored, Change<typeof OF_ALL>]
  name: 'group' | 'then'
}): ReactNode {
  const [{ range }, change] = address
  const [typed, type] = useTyped(address, name)
  const value = toldOf(typed, range)
  const tagged = value.startsWith(TAG)
  return (
    <>
      <select aria-label={label} value={tagged ? TAG : value} onChange={(event) => change({ [name]: event.target.value })}>
        {none !== undefined && <option value="">{none}</option>}
        {groups.map((group) => <option key={group} value={group}>{word} {titleOfGroup(group).toLowerCase()}</option>)}
        <option value={TAG}>{word} a tag</option>
      </select>
      {tagged && (
        <input type="search" className="key" aria-label={`${label}: key of the tag`} placeholder="Key of the tag" maxLength={128} value={value.slice(TAG.length)}
          onChange={(event) => { if (isKey(event.target.value)) type(TAG + event.target.value) }} />
      )}
    </>
  )
}

/** What clicks have narrowed it to, each to be taken away by another. */
export function Drilled({ given, onChange }: { given: Explored; onChange: Change<typeof OF_ALL> }): ReactNode {
  const narrowed: [string, string, Partial<Explored>][] = DRILLED.filter((name) => given[name] !== '').map((name) => [titleOfGroup(name), given[name], { [name]: '' }])
  if (given.start !== 0) narrowed.unshift(['Time', spanOf(given, 0).map(when).join(' – '), { start: 0 }])
  if (narrowed.length === 0) return null
  return (
    <div className="filters" role="group" aria-label="Narrowed to">
      {narrowed.map(([title, value, without]) => (
        <button type="button" className="small" key={title} aria-label={`Take away ${title} ${value}`} onClick={() => onChange(without)}>
          {title}: {value} ✕
        </button>
      ))}
    </div>
  )
}

/** The cost of all, and of how many requests nobody knows one. */
export function Costs({ all, currency }: { all: Sum; currency: string | null | undefined }): ReactNode {
  const { admin } = useMe()
  if (all.cost === null && !admin) return null
  return (
    <div>
      <dt>Cost</dt>
      <dd>
        {money(all.cost, currency)}{' '}
        {all.unpriced > 0 && <small>{count(all.unpriced)} without a price{admin && <> · <Link href="/usage/prices">set</Link></>}</small>}
      </dd>
    </div>
  )
}
