import type { ReactNode } from 'react'
import { count, duration } from '../../format'
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

/** What is known of an answer, beside its text. */
export function AnswerFacts({ outcome }: { outcome: Outcome }): ReactNode {
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
      {speed !== null && <span>{speed.toFixed(0)} tokens/s</span>}
      {told.map(([title, value]) => <span key={title}>{title} <strong>{value}</strong></span>)}
    </div>
  )
}
