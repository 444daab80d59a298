import { expect, test } from 'vitest'
import { nextOrder, orderBy } from '../src/pages/endpoints/order'

test('a column orders one way, then the other, then no more', () => {
  const up = nextOrder(null, 'name')
  expect(orderBy(up)).toBe('name')
  const down = nextOrder(up, 'name')
  expect(orderBy(down)).toBe('name desc')
  expect(nextOrder(down, 'name')).toBeNull()
  expect(orderBy(null)).toBe('')
})

test('of times, the newest come first', () => {
  const newest = nextOrder(nextOrder(null, 'name'), 'last_updated_timestamp')
  expect(orderBy(newest)).toBe('last_updated_timestamp desc')
  expect(orderBy(nextOrder(newest, 'last_updated_timestamp'))).toBe('last_updated_timestamp')
})
