import type { ReactNode } from 'react'
import { count, short } from '../format'
import { type Column, Table } from '.'
import { useWidth } from './useWidth'

export interface Bar {
  label: string
  title: string
  when: string
  time: number
  value: number
  bad: number
  /** What it is made of, from below. */
  parts: number[]
}

const LEAST_WIDTH = 520
const HEIGHT = 180
const BASE = 156
const LABEL_WIDTH = 110

/**
 * Counts over time, those that failed in another color, and the same as a table.
 *
 * @param layers Names of the parts; none: bars are whole.
 * @param onChoose Called with the time of a bar that is chosen.
 */
export function Bars({ label, bars, layers = [], onChoose }: {
  label: string
  bars: Bar[]
  layers?: readonly string[]
  onChoose?: ((time: number) => void) | undefined
}): ReactNode {
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
      {bars.map(({ label: text, title, time, value, bad, parts }, place) => {
        const x = 46 + place * step
        const thick = Math.max(1, Math.min(step - 2, 40))
        return (
          <g key={text + place} className={onChoose && value > 0 ? 'chosen' : undefined} onClick={() => { if (value > 0) onChoose?.(time) }}>
            <title>{title}</title>
            {layers.length === 0
              ? <rect className="bar" x={x} width={thick} y={BASE - height(value)} height={height(value)} />
              : layers.map((name, layer) => {
                  const below = parts.slice(0, layer).reduce((sum, part) => sum + part, 0)
                  const part = parts[layer] ?? 0
                  return part > 0 && <rect key={layer} className={`series-${layer}`} x={x} width={thick} y={BASE - height(below + part)} height={height(part)}><title>{`${name}: ${count(part)} at ${title}`}</title></rect>
                })}
            {bad > 0 && <rect className="bad" x={x} width={layers.length === 0 ? thick : Math.max(1, thick / 4)} y={BASE - height(bad)} height={height(bad)} />}
            {place % every === 0 && x + LABEL_WIDTH / 2 < width && <text x={x} y={HEIGHT - 6}>{text}</text>}
          </g>
        )
      })}
    </svg>
    </div>
    {layers.length > 0 && (
      <ul className="legend">
        {layers.map((name, layer) => <li key={layer}><span className={`dot series-${layer}`} />{name}</li>)}
        {bars.some(({ bad }) => bad > 0) && <li><span className="dot bad" />failed, of all</li>}
      </ul>
    )}
    <details>
      <summary>As a table</summary>
      <Table label={`${label} as a table`} rows={bars} id={({ when }) => when} columns={[
        { title: 'From', cell: ({ when, time, value }) => (onChoose && value > 0 ? <button type="button" className="link" title="Only these" onClick={() => onChoose(time)}>{when}</button> : when) },
        { title: 'Requests', number: true, cell: ({ value }) => count(value) },
        { title: 'Failed', number: true, cell: ({ bad }) => count(bad) },
        ...layers.map((title, layer): Column<Bar> => ({ title, number: true, cell: ({ parts }) => count(parts[layer]) })),
      ]} />
    </details>
    </>
  )
}
