import { type KeyboardEvent, type ReactNode, useState } from 'react'
import { setShare } from '../split'

const SERIES = 8

const TENS: Record<string, number> = { PageUp: 10, PageDown: -10 }

/** Steps of ten by PageUp and PageDown, which browsers take for other steps. */
function tens(event: KeyboardEvent, move: (step: number) => void): void {
  const step = TENS[event.key]
  if (step === undefined) return
  event.preventDefault()
  move(step)
}

/** A split of the traffic as one bar, with a slider and a number for each part. */
export function Shares({ names, shares, editable, onChange }: {
  names: string[]
  shares: number[]
  editable: boolean
  onChange: (shares: number[]) => void
}): ReactNode {
  const [locks, setLocks] = useState(names.map(() => false))
  const locked = (place: number): boolean => locks[place] ?? false
  const set = (place: number, value: number): void => onChange(setShare(shares, place, value, locks))
  return (
    <div className="shares">
      <div className="share-bar" role="img" aria-label={names.map((name, place) => `${name} ${shares[place] ?? 0} %`).join(', ')}>
        {names.map((name, place) => (shares[place] ?? 0) > 0 && (
          <span key={name} className={`series-${place % SERIES}`} style={{ flexGrow: shares[place] }} title={`${name} ${shares[place]} %`} />
        ))}
      </div>
      {names.map((name, place) => (
        <div className="share" key={name}>
          <span className={`dot series-${place % SERIES}`} />
          <span className="share-name" title={name}>{name}</span>
          {editable
            ? (
              <>
                <input type="range" min={0} max={100} aria-label={`Share of ${name} in percent`} value={shares[place] ?? 0} disabled={locked(place)}
                  onChange={(event) => set(place, event.target.valueAsNumber)} onKeyDown={(event) => tens(event, (step) => set(place, (shares[place] ?? 0) + step))} />
                <input type="number" min={0} max={100} aria-label={`Percent of ${name}`} value={shares[place] ?? 0} disabled={locked(place)}
                  onChange={(event) => set(place, event.target.valueAsNumber)} />
                {names.length > 2 && (
                  <button type="button" className="small lock" aria-pressed={locked(place)} aria-label={`Lock ${name}`}
                    onClick={() => setLocks(names.map((_, other) => (other === place) !== locked(other)))}>{locked(place) ? 'Locked' : 'Lock'}</button>
                )}
              </>
            )
            : <span className="number">{shares[place] ?? 0} %</span>}
        </div>
      ))}
    </div>
  )
}
