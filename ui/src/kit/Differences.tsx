import type { ReactNode } from 'react'
import type { Difference } from '../types'

const ENTITY = /^served_entities\[([^\]]+)\]/

/** Values of two configurations that differ, each entity by itself. */
export function Differences({ differences }: { differences: readonly Difference[] }): ReactNode {
  if (differences.length === 0) return <p>Nothing differs.</p>
  const names = [...new Set(differences.map(({ path }) => ENTITY.exec(path)?.[1] ?? ''))]
  return names.map((name) => (
    <section key={name} aria-label={name || 'The endpoint'}>
      {name !== '' && <h3>{name}</h3>}
      {differences.filter(({ path }) => (ENTITY.exec(path)?.[1] ?? '') === name).map(({ path, from_value, to_value }) => (
        <div className="difference" key={path}>
          <code>{path}</code>
          {from_value !== undefined && <del>{from_value}</del>}
          {to_value !== undefined && <ins>{to_value}</ins>}
        </div>
      ))}
    </section>
  ))
}
