import { expect, test } from 'vitest'
import { counted, linesOf, measured, pathOf, pieces, recentOf, recentQuery, ticksOf, topOf, total } from '../src/series'

const ENTITIES = [
  { served_entity_name: 'gpt', requests: [3, 0, 2], client_errors: [1, 0, 0], server_errors: [1, 0, 0], latency_p50_ms: [7.5, 0, 9] },
  { served_entity_name: 'idle', requests: [0, 0, 0], client_errors: [0, 0, 0], server_errors: [0, 0, 0], latency_p50_ms: [0, 0, 0] },
  { requests: [0, 1, 0], client_errors: [0, 1, 0], server_errors: [0, 0, 0], latency_p50_ms: [0, 1, 0] },
]

test('entities that did nothing have no line, and the others keep their colors', () => {
  const lines = linesOf(ENTITIES, counted('requests'))
  expect(lines.map(({ name, color }) => [name, color])).toEqual([['gpt', 0], ['before one was asked', -1]])
  expect(linesOf(ENTITIES, counted('client_errors', 'server_errors'))[0]?.values).toEqual([2, 0, 0])
  expect(total(ENTITIES, 'requests')).toBe(6)
})

test('a time without calls is a gap, not zero', () => {
  const [line] = linesOf(ENTITIES, measured('latency_p50_ms'), ', half', true)
  expect(line).toEqual({ name: 'gpt, half', color: 0, dashed: true, values: [7.5, null, 9] })
  expect(pieces([null, 1, 2, null, 3])).toEqual([[1, 2], [4, 4]])
  expect(pieces([])).toEqual([])
})

test('a chart ends at a round number, and a path at its last value', () => {
  const top = (value: number): number => topOf([{ name: '', color: 0, dashed: false, values: [value, null] }])
  expect([0, 0.7, 1, 3, 41, 99].map(top)).toEqual([1, 1, 1, 4, 50, 100])
  const path = (values: number[], piece: [number, number]): string => pathOf(values, (at) => 10 * at, (value) => 100 - value, piece)
  expect(path([1, 2, 3], [1, 2])).toBe('M10.0 98.0L20.0 97.0')
  expect(path([1, 2, 3], [1, 1])).toBe('M10.0 98.0h0.1')
})

test('no more times are written than there is room for', () => {
  expect(ticksOf([1, 2, 3, 4, 5, 6, 7], 3)).toEqual([0, 3, 6])
  expect(ticksOf([1, 2], 9)).toEqual([0, 1])
  expect(ticksOf([], 0)).toEqual([])
})

test('of the last quarter of an hour the slowest minute counts, and tokens by its seconds', () => {
  expect(recentQuery(1_000_000)).toEqual({ step_seconds: 60, start_time: 100_000 })
  const entities = [
    { served_entity_name: 'gpt', requests: [2, 1], input_tokens: [100, 20], output_tokens: [0, 60], latency_p95_ms: [80, 120] },
    { served_entity_name: 'idle', requests: [0, 0], input_tokens: [0, 0], output_tokens: [0, 0], latency_p95_ms: [0, 0] },
  ]
  const recent = recentOf({ step_seconds: 60, times: [0, 60_000], entities }, 90_000)
  expect(recent.get('gpt')).toEqual({ within: 120, tokensPerSecond: 2 })
  expect(recent.get('idle')).toEqual({ within: null, tokensPerSecond: null })
  expect(recentOf({ step_seconds: 60 }, 90_000).size).toBe(0)
})
