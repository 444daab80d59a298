import { beforeEach, expect, test } from 'vitest'
import { isFolded, keepFolded } from '../src/navigation'

beforeEach(() => {
  const kept = new Map<string, string>()
  Object.assign(globalThis, {
    localStorage: {
      getItem: (name: string) => kept.get(name) ?? null,
      setItem: (name: string, value: string) => kept.set(name, value),
      removeItem: (name: string) => kept.delete(name),
      get length() { return kept.size },
    },
  })
})

test('that the navigation is folded is kept, and nothing is while it is not', () => {
  expect(isFolded()).toBe(false)
  keepFolded(true)
  expect([isFolded(), localStorage.length]).toEqual([true, 1])
  keepFolded(false)
  expect([isFolded(), localStorage.length]).toEqual([false, 0])
})
