import { expect, test } from 'vitest'
import { describeState } from '../src/state'

const text = (ready: string, config_update: string): string =>
  describeState({ name: 'chat', state: { ready, config_update } }).text

test('states are named as in Databricks', () => {
  expect(text('READY', 'NOT_UPDATING')).toBe('Ready')
  expect(text('READY', 'UPDATE_FAILED')).toBe('Ready (Update failed)')
  expect(text('NOT_READY', 'IN_PROGRESS')).toBe('Not Ready (Updating)')
})

test('an endpoint that is not ready says why', () => {
  const state = { ready: 'NOT_READY', config_update: 'NOT_UPDATING' }
  const why = (deployment?: string): string =>
    describeState({ name: 'chat', state, config: { served_entities: [{ name: 'one', state: { deployment } }] } }).why
  expect(describeState({ name: 'chat', state }).why).toBe('no configuration yet')
  expect(why()).toBe('nothing serves it')
  expect(why('DEPLOYMENT_STOPPED')).toBe('stopped')
  expect(describeState({ name: 'chat', state: { ...state, config_update: 'IN_PROGRESS' } }).why).toBe('')
})

test('an unknown state is shown as it is', () => {
  expect(text('ASLEEP', 'PAUSED')).toBe('ASLEEP (PAUSED)')
})
