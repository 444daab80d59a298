import type { ReactNode } from 'react'
import { short } from '../format'

export interface Bar { label: string; title: string; value: number; bad: number }

const WIDTH = 720
const HEIGHT = 140
const BASE = 118
const LABELS = 6

/** Counts over time, those that failed in another color; the table beside it has the numbers. */
export function Bars({ label, bars }: { label: string; bars: Bar[] }): ReactNode {
  const most = Math.max(1, ...bars.map(({ value }) => value))
  const step = (WIDTH - 48) / Math.max(1, bars.length)
  const every = Math.ceil(bars.length / LABELS)
  const top = 10
  const height = (value: number): number => (value / most) * (BASE - top)
  return (
    <div className="scroll chart" tabIndex={0} role="region" aria-label={label}>
      <svg className="bars" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label}>
      {[0, 0.5, 1].map((part) => (
        <g key={part}>
          <line x1={44} x2={WIDTH} y1={BASE - part * (BASE - top)} y2={BASE - part * (BASE - top)} />
          <text x={38} y={BASE - part * (BASE - top) + 4} textAnchor="end">{part * most >= 1 || part === 0 ? short(Math.round(part * most)) : ''}</text>
        </g>
      ))}
      {bars.map(({ label: text, title, value, bad }, place) => {
        const x = 46 + place * step
        const width = Math.max(1, Math.min(step - 2, 40))
        return (
          <g key={text + place}>
            <title>{title}</title>
            <rect className="bar" x={x} width={width} y={BASE - height(value)} height={height(value)} />
            {bad > 0 && <rect className="bad" x={x} width={width} y={BASE - height(bad)} height={height(bad)} />}
            {place % every === 0 && <text x={x} y={HEIGHT - 6}>{text}</text>}
          </g>
        )
      })}
    </svg>
    </div>
  )
}
