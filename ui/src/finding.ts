/** What the palette finds, and where its keys lead. Pure. */

/** The items in whose names each word of a text is, those first that begin with it. */
export function matching<Item extends { name: string }>(text: string, items: readonly Item[]): Item[] {
  const wanted = text.trim().toLowerCase()
  const words = wanted.split(/\s+/)
  const found = items.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)))
  const first = found.filter(({ name }) => name.toLowerCase().startsWith(wanted))
  return [...first, ...found.filter((item) => !first.includes(item))]
}

/** The place that a key leads to in a list that goes on at its other end; nothing for other keys. */
export function nextPlace(key: string, place: number, count: number): number | undefined {
  if (count === 0) return undefined
  if (key === 'ArrowDown') return (place + 1) % count
  if (key === 'ArrowUp') return (place - 1 + count) % count
  if (key === 'PageDown') return Math.min(count - 1, place + 5)
  if (key === 'PageUp') return Math.max(0, place - 5)
  return undefined
}
