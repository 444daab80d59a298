import type { ReactNode } from 'react'
import type { Span } from '../waterfall'

/** A bar of spans; what it says stands beside it in words. */
export function Waterfall({ spans, label }: { spans: Span[]; label: string }): ReactNode {
  return (
    <svg className="waterfall" viewBox="0 0 1000 12" preserveAspectRatio="none" role="img" aria-label={label}>
      {spans.map(({ from, to, kind }) => (
        <rect key={kind + from} className={`span ${kind.toLowerCase()}`} x={from * 1000} width={Math.max(4, (to - from) * 1000)} y={0} height={12} />
      ))}
    </svg>
  )
}
