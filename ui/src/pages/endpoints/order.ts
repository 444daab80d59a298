/** The order of the list of endpoints. Pure. */
import type { Order } from '../../kit'

const BY = ['name', 'creator', 'creation_timestamp', 'last_updated_timestamp']
// Of these, the newest are looked for.
const NEWEST_FIRST = ['last_updated_timestamp', 'creation_timestamp']
const DESCENDING = ' desc'

/** What the deployment can be asked for. */
export const ORDERS = BY.flatMap((by) => [by, by + DESCENDING])

/** What the deployment is asked for; empty: its own order, those of the catalogue first. */
export function orderBy(order: Order | null): string {
  return order === null ? '' : order.by + (order.descending ? DESCENDING : '')
}

/** The order that `orderBy` wrote. */
export function orderOf(asked: string): Order | null {
  const descending = asked.endsWith(DESCENDING)
  return asked === '' ? null : { by: descending ? asked.slice(0, -DESCENDING.length) : asked, descending }
}

/** The order after a column was chosen: one way, then the other, then none. */
export function nextOrder(order: Order | null, by: string): Order | null {
  const first = NEWEST_FIRST.includes(by)
  if (order?.by !== by) return { by, descending: first }
  return order.descending === first ? { by, descending: !first } : null
}
