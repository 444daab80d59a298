import { expect, test } from 'vitest'
import { changed, decoded, flag, oneOf, pathOf, read, searchOf, text, whole } from '../src/address'

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
