import { expect, test } from 'vitest'
import { changed, decoded, flag, oneOf, pathOf, read, searchOf, text, whole } from '../src/address'
import { chosenOf, drillOf, type Explored, groupsOf, OF_ALL, OF_ONE, spanOf } from '../src/pages/usageAddress'
import type { UsageTotal } from '../src/types'

const PARAMETERS = { search: text(5), state: oneOf(['Ready', 'Not Ready'], ''), mine: flag, a: whole }
const NONE = { search: '', state: '', mine: false, a: 0 }

test('an address has a path and what stands behind it', () => {
  const hash = '#/endpoints/chat/versions?a=6&b=7'
  expect([pathOf(hash), searchOf(hash)]).toEqual(['/endpoints/chat/versions', 'a=6&b=7'])
  expect([pathOf(''), searchOf('')]).toEqual(['/', ''])
  expect(pathOf('#endpoints')).toBe('/endpoints')
})

test('what was written is read again', () => {
  const values = { search: 'a&b=', state: 'Not Ready', mine: true, a: 7 } as const
  expect(read(PARAMETERS, changed(PARAMETERS, '', values))).toEqual(values)
})

test('an address has nothing that is as it would be without it, and keeps what others have', () => {
  expect(changed(PARAMETERS, 'search=x&other=1&mine=true', { search: '', mine: false })).toBe('other=1')
})

test.each([
  'search=longer', 'state=Odd', 'state=ready', 'mine=1', 'a=0', 'a=-1', 'a=1e3', 'a=x', 'a=99999999999', '%', '&&=&', '__proto__=1',
])('what a page does not know is as if it were not there: %s', (search) => {
  expect(read(PARAMETERS, search)).toEqual(NONE)
})

test('a part of a path that is badly encoded stays as it is', () => {
  expect([decoded('a%20b'), decoded('%zz')]).toEqual(['a b', '%zz'])
})

const usage = (search: string): Explored => read(OF_ALL, search)
const HOUR = 3_600_000

test('usage is told by two dimensions at most, of which each may be a tag', () => {
  expect(groupsOf(usage(''))).toEqual(['endpoint'])
  expect(groupsOf(usage('group=tag:team&then=model'))).toEqual(['tag:team', 'model'])
  // Twice the same, a key that is missing, minutes of a week.
  expect(groupsOf(usage('group=model&then=model'))).toEqual(['model'])
  expect(groupsOf(usage('group=tag:'))).toEqual([])
  expect(groupsOf(usage('group=minute&range=week'))).toEqual(['hour'])
})

test.each(['tag:a,b', 'tag:a=b', 'tag:"', 'tag:a%0Ab', `tag:${'a'.repeat(129)}`, 'odd'])('usage is not told by %s', (group) => {
  expect(usage(`group=${group}&then=${group}`)).toEqual(usage(''))
  expect(read(OF_ONE, 'group=endpoint').group).toBe('served_entity')
})

test('usage is narrowed to a status, or to what has none', () => {
  expect(chosenOf(usage('status_code=4xx&tag=%20team=a'))).toMatchObject({ status_code: '4xx', state: '', tag: 'team=a' })
  expect(chosenOf(usage('status_code=UNKNOWN'))).toMatchObject({ status_code: '', state: 'UNKNOWN' })
  expect(chosenOf(usage('status_code=9xx'))).toMatchObject({ status_code: '', state: '' })
})

test('a click on a group shows it alone, and on a time what it consists of', () => {
  const row = { model: 'm', 'tag:team': 'a=b', task: 'chat', client: null, day: 48 * HOUR, hour: 50 * HOUR } as unknown as UsageTotal
  const click = (group: string, search = ''): unknown => drillOf(group, row, usage(search))
  expect([click('model'), click('tag:team'), click('task'), click('client')]).toEqual([{ model: 'm' }, { tag: 'team=a=b' }, null, null])
  expect(click('day', 'group=day')).toEqual({ start: 2880, range: 'day', group: 'hour' })
  expect(click('hour', 'group=model&then=hour')).toEqual({ start: 3000, range: 'hour', then: 'minute' })
  expect(spanOf(usage('start=2880&range=day'), 0)).toEqual([48 * HOUR, 72 * HOUR])
  expect(spanOf(usage('range=hour'), 5 * HOUR)).toEqual([4 * HOUR, 5 * HOUR])
})
