/** What somebody has filled in for the AI Gateway of an endpoint, and the settings that it means. Pure. */
import type { AiGateway, RateLimit } from '../types'

export interface LimitDraft { id: number; key: string; principal: string; calls: string; tokens: string }
export interface GatewayDraft {
  tracked: boolean
  fallback: boolean
  retries: string
  first: string
  idle: string
  limits: LimitDraft[]
}

export const LIMIT_KEYS: Record<string, string> = {
  endpoint: 'Endpoint',
  user: 'User',
  user_group: 'Group',
  service_principal: 'Service principal',
}

export function gatewayDraft(gateway: AiGateway): GatewayDraft {
  return {
    tracked: gateway.usage_tracking_config?.enabled ?? false,
    fallback: gateway.fallback_config?.enabled ?? false,
    retries: text(gateway.retry_config?.max_retries),
    first: text(gateway.timeout_config?.first_byte_seconds),
    idle: text(gateway.timeout_config?.idle_seconds),
    limits: (gateway.rate_limits ?? []).map((limit, id) => ({
      id, key: limit.key ?? 'endpoint', principal: limit.principal ?? '', calls: text(limit.calls), tokens: text(limit.tokens),
    })),
  }
}

/** All settings, as they are replaced: those that are on no form stay as they are in `now`. */
export function gatewayOf(draft: GatewayDraft, now: AiGateway): AiGateway {
  const { retry_config: _, timeout_config: __, ...others } = now
  return {
    ...others,
    usage_tracking_config: { enabled: draft.tracked },
    fallback_config: { enabled: draft.fallback },
    rate_limits: draft.limits.map(limitOf),
    ...timesOf(draft),
  }
}

/** What a new endpoint gets: nothing that it has anyway; undefined if that is nothing at all. */
export function newGatewayOf(draft: GatewayDraft): AiGateway | undefined {
  const gateway: AiGateway = {
    ...(draft.tracked ? { usage_tracking_config: { enabled: true } } : {}),
    ...(draft.fallback ? { fallback_config: { enabled: true } } : {}),
    ...(draft.limits.length === 0 ? {} : { rate_limits: draft.limits.map(limitOf) }),
    ...timesOf(draft),
  }
  return Object.keys(gateway).length === 0 ? undefined : gateway
}

function timesOf({ retries, first, idle }: GatewayDraft): Pick<AiGateway, 'retry_config' | 'timeout_config'> {
  return {
    ...(retries === '' ? {} : { retry_config: { max_retries: Number(retries) } }),
    ...(first === '' && idle === '' ? {} : {
      timeout_config: {
        ...(first === '' ? {} : { first_byte_seconds: Number(first) }),
        ...(idle === '' ? {} : { idle_seconds: Number(idle) }),
      },
    }),
  }
}

const text = (value: number | undefined): string => (value === undefined ? '' : String(value))

function limitOf({ key, principal, calls, tokens }: LimitDraft): RateLimit {
  return {
    key,
    renewal_period: 'minute',
    ...(calls === '' ? {} : { calls: Number(calls) }),
    ...(tokens === '' ? {} : { tokens: Number(tokens) }),
    ...(principal.trim() === '' || key === 'endpoint' ? {} : { principal: principal.trim() }),
  }
}
