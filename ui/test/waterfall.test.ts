import { expect, test } from 'vitest'
import { bytes } from '../src/format'
import type { Rollout } from '../src/types'
import { binsOf, phasesOf, slowestFirst, spanOf, spread, stepsOf } from '../src/waterfall'

const rollout: Rollout = {
  config_version: 2,
  phase: 'ACTIVATING',
  outcome: 'PENDING',
  start_time: 1000,
  prepared_time: 1040,
  workers: [
    { worker_id: 'a', build: '1', replica_id: 'r', state: 'PREPARED', prepared_time: 1040 },
    { worker_id: 'b', build: '1', replica_id: 'r', state: 'ACTIVE', prepared_time: 1010, active_time: 1050 },
  ],
}

test('each phase has the length of its slowest worker', () => {
  const { prepare, activate } = phasesOf(rollout, 1080)
  expect(prepare).toEqual({ start: 1000, length: 40 })
  // One has not followed yet.
  expect(activate).toEqual({ start: 1040, length: 40 })
  expect(phasesOf({ ...rollout, prepared_time: undefined, end_time: 1100 }, 9999)).toEqual({ prepare: { start: 1000, length: 100 }, activate: null })
})

test('a bar ends when it was done, and is waited for until then', () => {
  const phase = { start: 1000, length: 40 }
  expect(spanOf(phase, 1010, false)).toEqual([{ from: 0, to: 0.25, kind: 'done' }])
  expect(spanOf(phase, undefined, false)).toEqual([{ from: 0, to: 1, kind: 'waiting' }])
  expect(spanOf(phase, undefined, true)).toEqual([])
})

test('a hosted model has a part for each stage, none beyond its end', () => {
  const steps = [
    { stage: 'WAITING', start_time: 1000, end_time: 1010 },
    { stage: 'FETCHING', start_time: 1010 },
  ]
  expect(stepsOf(steps, 1000, 1100)).toEqual([
    { from: 0, to: 0.1, kind: 'WAITING' },
    { from: 0.1, to: 1, kind: 'FETCHING' },
  ])
})

test('half of them and all of them', () => {
  const phase = { start: 1000, length: 40 }
  expect(spread(phase, [1040, 1010, undefined, 1020])).toEqual({ median: 20, most: 40 })
  expect(spread(phase, [undefined])).toBeNull()
})

test('bytes have a unit that fits', () => {
  expect([0, 999, 1_000, 12_340_000, 7e12].map(bytes)).toEqual(['0 B', '999 B', '1.0 kB', '12.3 MB', '7.0 TB'])
})

test('each worker is in one step by how long it took, the slowest in the last', () => {
  const bins = binsOf({ start: 1000, length: 40 }, [1000, 1001, 1039, 1040, undefined])
  expect(bins).toHaveLength(20)
  expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(4)
  expect([bins[0]?.count, bins[19]?.count, bins[19]?.to]).toEqual([2, 2, 40])
  expect(binsOf({ start: 1000, length: 40 }, []).every(({ count }) => count === 0)).toBe(true)
})

test('who has not followed stands above those who were slow', () => {
  const worker = (worker_id: string, state: string, active_time?: number) => ({ worker_id, build: '1', replica_id: 'r', state, active_time })
  const workers = [worker('fast', 'ACTIVE', 10), worker('slow', 'ACTIVE', 90), worker('waits', 'WAITING'), worker('refused', 'REFUSED')]
  expect(slowestFirst(workers).map(({ worker_id: id }) => id)).toEqual(['refused', 'waits', 'slow', 'fast'])
})
