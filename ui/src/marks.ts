/** A text in pieces, of which some were found. */
import type { Finding } from './types'

export interface Piece {
  text: string
  kinds: string[]
}

/**
 * Cut a text where findings begin and end. They count characters as Python does, which has one where
 * JavaScript has two, as for most emoji.
 */
export function pieces(text: string, findings: readonly Finding[]): Piece[] {
  const characters = Array.from(text)
  const spans = findings.flatMap(({ kind, start, end }) =>
    start === undefined || end === undefined || start >= end ? [] : [{ kind, start, end }])
  const cuts = [0, characters.length, ...spans.flatMap(({ start, end }) => [start, end])]
  const places = [...new Set(cuts)].filter((cut) => cut <= characters.length).sort((a, b) => a - b)
  return places.slice(0, -1).map((start, index) => {
    const end = places[index + 1] ?? start
    const over = spans.filter((span) => span.start <= start && span.end >= end)
    return { text: characters.slice(start, end).join(''), kinds: [...new Set(over.map(({ kind }) => kind))] }
  })
}
