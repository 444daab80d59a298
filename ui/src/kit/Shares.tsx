import type { ReactNode } from 'react'
import { setShare } from '../split'

const SERIES = 8

/** A split of the traffic as one bar, with a slider and a number for each part. */
export function Shares({ names, shares, editable, onChange }: {
  names: string[]
  shares: number[]
  editable: boolean
  onChange: (shares: number[]) => void
}): ReactNode {
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
                <input type="range" min={0} max={100} aria-label={`Share of ${name} in percent`} value={shares[place] ?? 0}
                  onChange={(event) => onChange(setShare(shares, place, event.target.valueAsNumber))} />
                <input type="number" min={0} max={100} aria-label={`Percent of ${name}`} value={shares[place] ?? 0}
                  onChange={(event) => onChange(setShare(shares, place, event.target.valueAsNumber))} />
              </>
            )
            : <span className="number">{shares[place] ?? 0} %</span>}
        </div>
      ))}
    </div>
  )
}
