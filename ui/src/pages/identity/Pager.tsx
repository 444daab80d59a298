import type { ReactNode } from 'react'
import { PAGE_SIZE } from './scim'

export function Pager({ start, total, onStart }: { start: number; total: number; onStart: (start: number) => void }): ReactNode {
  if (start > total) return <p className="muted foot">There are {total} <button type="button" className="small" onClick={() => onStart(1)}>First page</button></p>
  if (total <= PAGE_SIZE) return <p className="muted foot">{total} in all</p>
  return (
    <p className="muted foot">
      {start} to {Math.min(total, start + PAGE_SIZE - 1)} of {total}
      <button type="button" className="small" disabled={start === 1} onClick={() => onStart(Math.max(1, start - PAGE_SIZE))}>Previous</button>
      <button type="button" className="small" disabled={start + PAGE_SIZE > total} onClick={() => onStart(start + PAGE_SIZE)}>Next</button>
    </p>
  )
}
