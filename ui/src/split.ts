/** Arithmetic of a traffic split: whole percents that always add up to 100. */

/**
 * Give one share a new value and take the difference from the others, in proportion to theirs.
 *
 * @param shares Whole percents that add up to 100.
 * @param index Which share is set.
 * @param wished Its new value in percent; it is rounded and kept within 0 and what is not locked.
 * @param locked Which of the others keep their value; if all do, nothing changes.
 * @returns New shares that add up to 100.
 */
export function setShare(shares: readonly number[], index: number, wished: number, locked: readonly boolean[] = []): number[] {
  if (shares.length < 2) return shares.map(() => 100)
  const others = shares.flatMap((_, other) => (other === index || locked[other] ? [] : [other]))
  if (others.length === 0) return [...shares]
  const free = others.reduce((sum, other) => sum + (shares[other] ?? 0), shares[index] ?? 0)
  const value = Math.min(free, Math.max(0, Math.round(Number.isFinite(wished) ? wished : 0)))
  const rest = free - value
  const total = others.reduce((sum, other) => sum + (shares[other] ?? 0), 0)
  const exact = others.map((other) =>
    total > 0 ? (rest * (shares[other] ?? 0)) / total : rest / others.length,
  )
  const whole = exact.map(Math.floor)
  // What rounding left goes to those who lost most by it.
  let left = rest - whole.reduce((sum, share) => sum + share, 0)
  const order = exact
    .map((share, place) => ({ place, lost: share - Math.floor(share) }))
    .sort((a, b) => b.lost - a.lost || a.place - b.place)
  for (const { place } of order) {
    if (left === 0) break
    whole[place] = (whole[place] ?? 0) + 1
    left -= 1
  }
  const result = [...shares]
  result[index] = value
  others.forEach((other, place) => (result[other] = whole[place] ?? 0))
  return result
}
