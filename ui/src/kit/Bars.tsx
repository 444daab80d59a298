import type { ReactNode } from 'react'
import { count, short } from '../format'
import { Table } from '.'
import { useWidth } from './useWidth'

export interface Bar { label: string; title: string; when: string; value: number; bad: number }

const LEAST_WIDTH = 520
const HEIGHT = 180
const BASE = 156
const LABEL_WIDTH = 110

/** Counts over time, those that failed in another color, and the same as a table. */
export function Bars({ label, bars }: { label: string; bars: Bar[] }): ReactNode {
  const [frame, width] = useWidth(LEAST_WIDTH)
  const most = Math.max(1, ...bars.map(({ value }) => value))
  const step = (width - 48) / Math.max(1, bars.length)
  const every = Math.max(1, Math.ceil(LABEL_WIDTH / step))
  const top = 10
  const height = (value: number): number => (value / most) * (BASE - top)
  return (
    <>
    <div ref={frame} className="scroll chart" tabIndex={0} role="region" aria-label={label}>
      <svg className="bars" width={width} height={HEIGHT} role="img" aria-label={label}>
      {[0, 0.5, 1].map((part) => (
        <g key={part}>
          <line x1={44} x2={width} y1={BASE - part * (BASE - top)} y2={BASE - part * (BASE - top)} />
          <text x={38} y={BASE - part * (BASE - top) + 4} textAnchor="end">{part * most >= 1 || part === 0 ? short(Math.round(part * most)) : ''}</text>
        </g>
      ))}
      {bars.map(({ label: text, title, value, bad }, place) => {
        const x = 46 + place * step
        const thick = Math.max(1, Math.min(step - 2, 40))
        return (
          <g key={text + place}>
            <title>{title}</title>
            <rect className="bar" x={x} width={thick} y={BASE - height(value)} height={height(value)} />
            {bad > 0 && <rect className="bad" x={x} width={thick} y={BASE - height(bad)} height={height(bad)} />}
            {place % every === 0 && x + LABEL_WIDTH / 2 < width && <text x={x} y={HEIGHT - 6}>{text}</text>}
          </g>
        )
      })}
    </svg>
    </div>
    <details>
      <summary>As a table</summary>
      <Table label={`${label} as a table`} rows={bars} id={({ when }) => when} columns={[
        { title: 'From', cell: ({ when }) => when },
        { title: 'Requests', number: true, cell: ({ value }) => count(value) },
        { title: 'Failed', number: true, cell: ({ bad }) => count(bad) },
      ]} />
    </details>
    </>
  )
}
