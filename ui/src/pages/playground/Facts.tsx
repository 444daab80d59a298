import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { endpointPath, get } from '../../api'
import { count, duration } from '../../format'
import type { Endpoint } from '../../types'
import { money } from '../usageTotals'
import { costOf, type Price } from './cost'
import type { Outcome } from './stream'

const SHOWN: [string, string][] = [
  ['served-model-name', 'answered by'],
  ['x-modelplane-config-version', 'version'],
  ['x-modelplane-attempts', 'attempts'],
  ['x-modelplane-attempt-errors', 'errors on the way'],
  ['x-modelplane-adapted-params', 'adapted'],
  ['x-modelplane-cold-start', 'cold start, ms'],
  ['x-ratelimit-remaining-requests', 'requests left'],
  ['x-ratelimit-remaining-tokens', 'tokens left'],
]

/** What is known of an answer of an endpoint, beside its text. */
export function AnswerFacts({ name, outcome }: { name: string; outcome: Outcome }): ReactNode {
  const priced = useCost(name, outcome)
  const { headers, usage, firstMs, totalMs } = outcome
  const told = SHOWN.flatMap(([header, title]) => {
    const value = headers.get(header)
    return value === null || value === '' ? [] : [[title, value] as const]
  })
  const seconds = (totalMs - firstMs) / 1000
  const speed = usage?.completion_tokens && seconds > 0.05 ? usage.completion_tokens / seconds : null
  return (
    <div className="answer-facts">
      <span>first chunk {duration(firstMs)}</span>
      <span>total {duration(totalMs)}</span>
      {usage && <span>{usage.estimated ? '~' : ''}{count(usage.prompt_tokens)} tokens in, {count(usage.completion_tokens)} out</span>}
      {priced !== null && <span>cost {outcome.usage?.estimated ? '~' : ''}{money(priced.cost, priced.currency)}</span>}
      {speed !== null && <span>{speed.toFixed(0)} tokens/s</span>}
      {told.map(([title, value]) => <span key={title}>{title} <strong>{value}</strong></span>)}
    </div>
  )
}

function useCost(name: string, { headers, usage }: Outcome): ReturnType<typeof costOf> {
  const prices = useQuery({ queryKey: ['prices'], queryFn: () => get<{ prices?: Price[] }>('/api/2.0/prices'), staleTime: 60_000 })
  const endpoint = useQuery({ queryKey: ['endpoint', name], queryFn: () => get<Endpoint>(endpointPath(name)), staleTime: 60_000 })
  const entity = endpoint.data?.config?.served_entities?.find((one) => one.name === headers.get('served-model-name'))
  return costOf(prices.data?.prices ?? [], entity, usage, Date.now())
}
