import { expect, test } from 'vitest'
import { describeState } from '../src/state'

const text = (ready: string, config_update: string): string =>
  describeState({ name: 'chat', state: { ready, config_update } }).text

test('states are named as in Databricks', () => {
  expect(text('READY', 'NOT_UPDATING')).toBe('Ready')
  expect(text('READY', 'UPDATE_FAILED')).toBe('Ready (Update failed)')
  expect(text('NOT_READY', 'IN_PROGRESS')).toBe('Not Ready (Updating)')
})

test('an unknown state is shown as it is', () => {
  expect(text('ASLEEP', 'PAUSED')).toBe('ASLEEP (PAUSED)')
})
