import { expect, test } from 'vitest'
import { pieces } from '../src/marks'

test('what was found is cut out, by characters and not by their halves', () => {
  expect(pieces('😀 a@b.c!', [{ kind: 'EMAIL_ADDRESS', start: 2, end: 7 }])).toEqual([
    { text: '😀 ', kinds: [] },
    { text: 'a@b.c', kinds: ['EMAIL_ADDRESS'] },
    { text: '!', kinds: [] },
  ])
})

test('findings may lie over each other, or be nowhere', () => {
  const found = [{ kind: 'A', start: 0, end: 3 }, { kind: 'B', start: 2, end: 4 }, { kind: 'JUDGE' }]
  expect(pieces('abcd', found)).toEqual([
    { text: 'ab', kinds: ['A'] },
    { text: 'c', kinds: ['A', 'B'] },
    { text: 'd', kinds: ['B'] },
  ])
  expect(pieces('', [])).toEqual([])
})
