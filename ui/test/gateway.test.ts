import { expect, test } from 'vitest'
import { gatewayDraft, gatewayOf, newGatewayOf } from '../src/forms/gateway'

const GATEWAY = {
  usage_tracking_config: { enabled: true },
  fallback_config: { enabled: true },
  rate_limits: [{ key: 'user', renewal_period: 'minute', calls: 5, principal: 'ann' }, { key: 'endpoint', renewal_period: 'minute', tokens: 0 }],
  retry_config: { max_retries: 0 },
  timeout_config: { idle_seconds: 1.5 },
}

test('settings come back from their form, with what is on no form', () => {
  const now = { ...GATEWAY, guardrails: { input: { safety: true } } }
  expect(gatewayOf(gatewayDraft(now), now)).toEqual(now)
  expect(gatewayOf({ ...gatewayDraft(now), retries: '', idle: '' }, now)).not.toHaveProperty('retry_config')
})

test('a new endpoint is sent what is set, and nothing else', () => {
  expect(newGatewayOf(gatewayDraft(GATEWAY))).toEqual(GATEWAY)
  expect(newGatewayOf(gatewayDraft({ usage_tracking_config: { enabled: true } }))).toEqual({ usage_tracking_config: { enabled: true } })
  expect(newGatewayOf(gatewayDraft({}))).toBeUndefined()
})
