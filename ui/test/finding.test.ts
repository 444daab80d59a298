import { expect, test } from 'vitest'
import { matching, nextPlace } from '../src/finding'

const named = (...names: string[]): { name: string }[] => names.map((name) => ({ name }))

test('each word is somewhere in a name, and beginnings come first', () => {
  const items = named('Audit log', 'chat: Versions', 'Create serving endpoint', 'Serving endpoints')
  expect(matching('', items)).toEqual(items)
  expect(matching('serv', items)).toEqual(named('Serving endpoints', 'Create serving endpoint'))
  expect(matching(' END create ', items)).toEqual(named('Create serving endpoint'))
  expect(matching('nothing', items)).toEqual([])
})

test('arrows go around, pages stop at the ends', () => {
  expect(nextPlace('ArrowDown', 2, 3)).toBe(0)
  expect(nextPlace('ArrowUp', 0, 3)).toBe(2)
  expect(nextPlace('PageDown', 1, 3)).toBe(2)
  expect(nextPlace('PageUp', 1, 3)).toBe(0)
  expect(nextPlace('a', 1, 3)).toBeUndefined()
  expect(nextPlace('ArrowDown', -1, 0)).toBeUndefined()
})
