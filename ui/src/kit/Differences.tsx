import type { ReactNode } from 'react'
import type { Difference } from '../types'

/** Values of two configurations that differ. */
export function Differences({ differences }: { differences: readonly Difference[] }): ReactNode {
  if (differences.length === 0) return <p>Nothing differs.</p>
  return differences.map(({ path, from_value, to_value }) => (
    <div className="difference" key={path}>
      <code>{path}</code>
      {from_value !== undefined && <del>{from_value}</del>}
      {to_value !== undefined && <ins>{to_value}</ins>}
    </div>
  ))
}
