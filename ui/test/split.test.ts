import { expect, test } from 'vitest'
import { setShare } from '../src/split'

const sum = (shares: number[]): number => shares.reduce((total, share) => total + share, 0)

test('every value of every share keeps whole percents that add up to 100', () => {
  for (const start of [[90, 10], [100, 0, 0], [34, 33, 33], [0, 0, 1, 99], [7, 13, 29, 51]]) {
    for (let index = 0; index < start.length; index += 1) {
      for (let value = 0; value <= 100; value += 1) {
        const shares = setShare(start, index, value)
        expect(shares[index]).toBe(value)
        expect(sum(shares)).toBe(100)
        expect(shares.every((share) => Number.isInteger(share) && share >= 0)).toBe(true)
      }
    }
  }
})

test('the others give in proportion to what they have', () => {
  expect(setShare([0, 60, 40], 0, 50)).toEqual([50, 30, 20])
})

test('a value outside is brought inside, and a lone share stays whole', () => {
  expect(setShare([50, 50], 0, 150)).toEqual([100, 0])
  expect(setShare([50, 50], 0, Number.NaN)).toEqual([0, 100])
  expect(setShare([100], 0, 10)).toEqual([100])
})

test('a locked share keeps its value, and the sum is 100 all the same', () => {
  expect(setShare([50, 30, 20], 0, 70, [false, true, false])).toEqual([70, 30, 0])
  expect(setShare([50, 30, 20], 0, 90, [false, true, false])).toEqual([70, 30, 0])
  expect(setShare([50, 30, 20], 0, 10, [false, false, true])).toEqual([10, 70, 20])
  expect(setShare([50, 30, 20], 0, 10, [false, true, true])).toEqual([50, 30, 20])
  for (let wished = 0; wished <= 100; wished += 1) {
    const next = setShare([40, 25, 20, 15], 1, wished, [true, false, false, false])
    expect(next[0]).toBe(40)
    expect(next.reduce((sum, share) => sum + share, 0)).toBe(100)
  }
})
