import { expect, test } from 'vitest'
import { type Chunk, type Rest, withRest } from '../src/pages/playground/answer'

const delta = (more: Record<string, unknown>): Chunk => ({ choices: [{ delta: more }] })

test('what a message has beside its text is kept whole over a stream', () => {
  const parts: Chunk[] = [
    delta({ role: 'assistant', reasoning_content: 'Let me ' }),
    delta({ reasoning_content: 'think.', content: null }),
    delta({ thinking_blocks: [{ thinking: 'a', signature: 's' }] }),
    delta({ thinking_blocks: [{ thinking: 'b', signature: 't' }], content: 'Hello', tool_calls: [] }),
    delta({ extra_content: { google: { thought_signature: 'x' } } }),
    { choices: [] },
  ]
  expect(parts.reduce((rest: Rest, part) => withRest(rest, part), {})).toEqual({
    reasoning_content: 'Let me think.',
    thinking_blocks: [{ thinking: 'a', signature: 's' }, { thinking: 'b', signature: 't' }],
    extra_content: { google: { thought_signature: 'x' } },
  })
})

test('a whole message is kept, too, without what is empty', () => {
  const message = { role: 'assistant', content: 'Hi', refusal: null, thinking_blocks: [{ thinking: 'a' }] }
  expect(withRest({}, { choices: [{ message }] })).toEqual({ thinking_blocks: [{ thinking: 'a' }] })
})
