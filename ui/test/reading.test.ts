import { expect, test } from 'vitest'
import { duration } from '../src/format'
import { type Call, type Chunk, textOf, withCalls } from '../src/pages/playground/answer'
import { quantile, targetsOf, textOfTargets, unlike } from '../src/pages/playground/compared'
import { contentOf, refusal, sizeOf, textOfContent, urlsOf } from '../src/pages/playground/images'
import { hours, layersOf, money, stackOf, summed } from '../src/pages/usageTotals'
import { live, samples } from '../src/prometheus'
import type { UsageTotal } from '../src/types'

const METRICS = `# TYPE request_count_total gauge
request_count_total{endpoint_name="chat",served_model_name="a \\"b\\""} 12.0
request_5xx_count_total{endpoint_name="chat",served_model_name="a \\"b\\""} 3.0
request_latency_ms_bucket{le="+Inf",served_model_name="a \\"b\\""} 10.0
request_latency_ms_bucket{le="5.0",served_model_name="a \\"b\\""} 4.0
request_latency_ms_bucket{le="10.0",served_model_name="a \\"b\\""} 9.0
request_count_total{endpoint_name="chat",served_model_name="other"} 0.0
`

test('metrics of one entity are read from the text of Prometheus', () => {
  const all = samples(METRICS)
  expect(live(all, 'a "b"')).toEqual({ requests: 12, refused: 0, failed: 3, median: 10 })
  expect(live(all, 'other')).toEqual({ requests: 0, refused: 0, failed: 0, median: null })
})

const total = (values: Partial<UsageTotal>): UsageTotal => ({
  requests: 0, failed_requests: 0, unknown_requests: 0, input_token_count: null, output_token_count: null,
  cached_token_count: null, average_latency_ms: null, ...values,
})

test('totals are summed, and their mean is weighed by requests', () => {
  const all = [total({ requests: 1, average_latency_ms: 10, input_token_count: 5 }), total({ requests: 3, average_latency_ms: 30, failed_requests: 1 }), total({ requests: 6 })]
  expect(summed(all)).toEqual({ requests: 10, failed: 1, input: 5, output: 0, latency: 25, cost: null, unpriced: 0 })
})

test('an hour without requests has a bar too', () => {
  const hour = 3_600_000
  const bars = hours([total({ hour: 2 * hour, requests: 7, failed_requests: 2 })], 'hour', hour, 4 * hour)
  expect(bars.map(({ value, bad }) => [value, bad])).toEqual([[0, 0], [7, 2], [0, 0]])
})

test('the text of an answer is found in each of its forms', () => {
  expect(textOf({ choices: [{ delta: { content: 'a' } }] })).toBe('a')
  expect(textOf({ choices: [{ message: { content: [{ text: 'a' }, { text: 'b' }] } }] })).toBe('ab')
  expect(textOf({ choices: [{ text: 'c' }] })).toBe('c')
  expect(textOf({ choices: [] })).toBe('')
})

test('a duration has the unit that fits', () => {
  expect([1.234, 250, 1500, 61_000, null].map((value) => duration(value))).toEqual(['1.2 ms', '250 ms', '1.5 s', '1 min 1 s', '–'])
})

test('a call of a tool is put together from the pieces of a stream', () => {
  const piece = (index: number, more: object): Chunk => ({ choices: [{ delta: { tool_calls: [{ index, ...more }] } }] })
  const stream = [
    piece(0, { id: 'a', type: 'function', function: { name: 'weather', arguments: '' } }),
    piece(0, { function: { arguments: '{"ci' } }),
    piece(1, { id: 'b', function: { name: 'time', arguments: '{}' } }),
    piece(0, { function: { arguments: 'ty": 1}' } }),
    { choices: [{ delta: { content: 'x' } }] },
  ]
  const calls = stream.reduce<readonly Call[]>(withCalls, [])
  expect(calls).toEqual([
    { id: 'a', type: 'function', function: { name: 'weather', arguments: '{"city": 1}' } },
    { id: 'b', function: { name: 'time', arguments: '{}' } },
  ])
  const whole = [{ id: 'c', extra: 1 }]
  expect(withCalls([], { choices: [{ message: { tool_calls: whole } }] })).toEqual(whole)
})

test('answers are compared word by word', () => {
  expect(unlike('a b c', 'a x c')).toEqual([{ text: 'a ', kinds: [] }, { text: 'b', kinds: ['only'] }, { text: ' c', kinds: [] }])
  expect(unlike('same', 'same')).toEqual([{ text: 'same', kinds: [] }])
  expect(unlike('alone', '')).toEqual([{ text: 'alone', kinds: [] }])
  expect(unlike('x a', 'a')).toEqual([{ text: 'x ', kinds: ['only'] }, { text: 'a', kinds: [] }])
})

test('a quantile is the value of the nearest rank', () => {
  expect([quantile([3, 1, 2], 0.5), quantile([3, 1, 2], 0.95), quantile([], 0.5)]).toEqual([2, 3, null])
})

test('who answers in each column is in the address', () => {
  const targets = [{ name: 'a', entity: '' }, { name: 'a', entity: 'b' }]
  expect(targetsOf(textOfTargets(targets))).toEqual(targets)
})

test('costs are added up, and told in whole cents or by what they begin with', () => {
  const all = summed([total({ cost: '0.10', unpriced_requests: 1 }), total({ cost: null, unpriced_requests: 2 }), total({ cost: '2' })])
  expect([all.cost, all.unpriced]).toEqual([2.1, 3])
  expect(summed([total({ cost: null })]).cost).toBe(null)
  expect(money('1234.567', 'USD')).toBe('1,234.57 USD')
  expect(money('0.000012345', 'EUR')).toBe('0.000012 EUR')
  expect([money('0', 'USD'), money(null, 'USD')]).toEqual(['0.00 USD', '–'])
})

test('bars are stacked by who has most, the rest together, unless these are too many', () => {
  const rows = [...'abcdefghi'].map((model, place) => total({ hour: 0, model, requests: 10 - place }))
  rows.push(total({ hour: 0, model: null, requests: 100 }))
  const layers = layersOf(rows, 'model')
  expect(layers).toEqual(['', ...'abcdef'])
  const [bar] = hours(rows, 'hour', 0, 3_600_000, 'model', layers)
  expect(bar?.parts).toEqual([100, 10, 9, 8, 7, 6, 5, 4 + 3 + 2])
  expect(bar?.value).toBe(154)
  expect([stackOf(['hour', 'model'], rows, 24), stackOf(['hour'], rows, 24), stackOf(['model'], rows, 2000)]).toEqual(['model', '', ''])
})

test('a minute without requests has a bar too', () => {
  const bars = hours([total({ minute: 60_000, requests: 7 })], 'minute', 0, 180_000)
  expect(bars.map(({ value }) => value)).toEqual([0, 7, 0])
})

test('pictures go as parts of a message, and what is too much is refused with what to change', () => {
  const picture = { name: 'a.png', url: 'data:image/png;base64,AAAA', size: 3 }
  expect(contentOf('Hello', [])).toBe('Hello')
  expect(contentOf('Hello', [picture])).toEqual([{ type: 'text', text: 'Hello' }, { type: 'image_url', image_url: { url: picture.url } }])
  expect(contentOf(' ', [picture])).toHaveLength(1)
  expect([textOfContent(contentOf('Hello', [picture])), urlsOf(contentOf('Hello', [picture])), sizeOf(picture.url)]).toEqual(['Hello', [picture.url], 3])
  const none = { count: 0, size: 0 }
  const file = { name: 'a.png', type: 'image/png', size: 100 }
  expect(refusal([file], none)).toBe('')
  expect(refusal([{ ...file, name: 'a.svg', type: 'image/svg+xml' }], none)).toContain('a.svg is no PNG')
  expect(refusal([{ ...file, size: 6_000_000 }], none)).toContain('an image may have 5.0 MB')
  expect(refusal([file], { count: 20, size: 0 })).toContain('20 images')
  expect(refusal([file], { count: 1, size: 10_999_950 })).toContain('11.0 MB together')
})
