import { type PointerEvent, type ReactNode, useState } from 'react'
import { type Line, pathOf, pieces, ticksOf, topOf } from '../series'
import { useWidth } from './useWidth'

const LEAST_WIDTH = 260
const HEIGHT = 180
const LEFT = 52
const TOP = 16
const BASE = HEIGHT - 24
const LABEL_WIDTH = 92
const NAME_WIDTH = 28

export interface Mark { time: number; text: string }

/**
 * Lines over time, with a mark where something changed. What is under the pointer is told below; a table
 * elsewhere has all of it.
 */
export function TimeChart({ title, lines, times, step, marks, format, clock }: {
  title: string
  lines: readonly Line[]
  times: readonly number[]
  step: number
  marks: readonly Mark[]
  format: (value: number) => string
  clock: (time: number) => string
}): ReactNode {
  const [frame, width] = useWidth(LEAST_WIDTH)
  const [over, setOver] = useState<number | null>(null)
  const last = times.length - 1
  const begin = times[0] ?? 0
  const room = width - LEFT - 8
  // A value stands in the middle of its step.
  const x = (at: number): number => LEFT + ((at + 0.5) / Math.max(1, times.length)) * room
  const placeOf = (time: number): number => x((time - begin) / (step * 1000) - 0.5)
  const most = topOf(lines)
  const y = (value: number): number => BASE - (value / most) * (BASE - TOP)
  const point = (event: PointerEvent<SVGSVGElement>): void => {
    const at = Math.floor(((event.clientX - event.currentTarget.getBoundingClientRect().left - LEFT) / room) * times.length)
    setOver(Math.max(0, Math.min(last, at)))
  }
  const shown = over !== null && over <= last ? over : null
  return (
    <figure className="time-chart">
      <figcaption>{title}</figcaption>
      <div ref={frame}>
        <svg width={width} height={HEIGHT} role="img" aria-label={`${title}: ${lines.map(({ name }) => name).join(', ')}`} onPointerMove={point} onPointerLeave={() => setOver(null)}>
          {[0, 0.5, 1].map((part) => (
            <g key={part}>
              <line className="grid" x1={LEFT} x2={width - 8} y1={y(part * most)} y2={y(part * most)} />
              <text x={LEFT - 6} y={y(part * most) + 4} textAnchor="end">{part === 0 ? '0' : format(part * most)}</text>
            </g>
          ))}
          {ticksOf(times, Math.floor(room / LABEL_WIDTH)).filter((at) => x(at) < width - LABEL_WIDTH / 2).map((at) => (
            <text key={at} x={x(at)} y={HEIGHT - 6} textAnchor="middle">{clock(times[at] ?? 0)}</text>
          ))}
          {marks.map(({ time, text }, place) => {
            const at = placeOf(time)
            const next = marks[place + 1]
            // Of several close to each other, the last one has room for its name.
            const named = next === undefined || placeOf(next.time) - at > NAME_WIDTH
            return at >= LEFT && at <= width - 8 && (
              <g key={text} className="mark"><line x1={at} x2={at} y1={TOP} y2={BASE} />{named && <text x={at} y={TOP - 4} textAnchor="middle">{text}</text>}</g>
            )
          })}
          {lines.map((line) => <Drawn key={line.name} line={line} last={last} x={x} y={y} />)}
          {shown !== null && <line className="pointer" x1={x(shown)} x2={x(shown)} y1={TOP} y2={BASE} />}
        </svg>
      </div>
      <ul className="legend">
        {lines.map((line) => (
          <li key={line.name}>
            <svg width={18} height={8} aria-hidden="true"><line className={look(line)} x1={1} x2={17} y1={4} y2={4} /></svg>
            {line.name}
            {shown !== null && <strong className="number"> {line.values[shown] === null ? '–' : format(line.values[shown] ?? 0)}</strong>}
          </li>
        ))}
        {shown !== null && <li className="muted">{clock(times[shown] ?? 0)}{shown === last && ', not over yet'}</li>}
      </ul>
    </figure>
  )
}

const look = ({ color, dashed }: Line): string => `line ${color < 0 ? 'none' : `line-${color}`}${dashed ? ' dashed' : ''}`

/** A line, faint where it leads to the step that is not over yet. */
function Drawn({ line, last, x, y }: { line: Line; last: number; x: (at: number) => number; y: (value: number) => number }): ReactNode {
  const found = pieces(line.values)
  return found.flatMap(([from, to]) => {
    if (from === to) return <path key={from} className={`${look(line)} single`} d={pathOf(line.values, x, y, [from, to])} />
    const open = to === last
    const over = open ? to - 1 : to
    return [
      over > from && <path key={from} className={look(line)} d={pathOf(line.values, x, y, [from, over])} />,
      open && <path key={`${from}-open`} className={`${look(line)} open`} d={pathOf(line.values, x, y, [to - 1, to])} />,
    ]
  })
}
