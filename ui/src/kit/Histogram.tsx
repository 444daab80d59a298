import type { ReactNode } from 'react'
import { count, duration } from '../format'
import type { Bin } from '../waterfall'
import { Table } from '.'
import { useWidth } from './useWidth'

const LEAST_WIDTH = 280
const HEIGHT = 120
const BASE = 96
const TOP = 16

/** How many took how long, and the same as a table. */
export function Histogram({ label, bins }: { label: string; bins: readonly Bin[] }): ReactNode {
  const [frame, width] = useWidth(LEAST_WIDTH)
  const most = Math.max(1, ...bins.map((bin) => bin.count))
  const step = width / Math.max(1, bins.length)
  const end = bins.at(-1)?.to ?? 0
  const span = ({ from, to }: Bin): string => `${duration(from)} to ${duration(to)}`
  return (
    <figure className="time-chart">
      <figcaption>{label}</figcaption>
      <div ref={frame}>
        <svg className="histogram" width={width} height={HEIGHT} role="img" aria-label={`${label}: up to ${count(most)} in a step, within ${duration(end)}`}>
          <line className="grid" x1={0} x2={width} y1={BASE} y2={BASE} />
          {bins.map((bin, place) => bin.count > 0 && (
            <g key={bin.from}>
              <title>{`${span(bin)}: ${count(bin.count)}`}</title>
              {/* What is there is seen, however few it is beside others. */}
              <rect className="bar" x={place * step + 1} width={Math.max(1, step - 2)} y={BASE - Math.max(2, (bin.count / most) * (BASE - TOP))} height={Math.max(2, (bin.count / most) * (BASE - TOP))} />
              {bin.count === most && <text x={place * step + step / 2} y={BASE - (bin.count / most) * (BASE - TOP) - 4} textAnchor={place === 0 ? 'start' : place === bins.length - 1 ? 'end' : 'middle'}>{count(most)}</text>}
            </g>
          ))}
          <text x={0} y={HEIGHT - 6}>0</text>
          <text x={width / 2} y={HEIGHT - 6} textAnchor="middle">{duration(end / 2)}</text>
          <text x={width} y={HEIGHT - 6} textAnchor="end">{duration(end)}</text>
        </svg>
      </div>
      <details>
        <summary>As a table</summary>
        <Table label={`${label} as a table`} rows={bins.filter((bin) => bin.count > 0)} id={({ from }) => from} columns={[
          { title: 'Took', cell: span },
          { title: 'Workers', number: true, cell: (bin) => count(bin.count) },
        ]} />
      </details>
    </figure>
  )
}
