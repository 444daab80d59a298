/** Answers beside each other: how their texts differ, and what repetitions took. Pure. */
import type { Piece } from '../../marks'

// A table of all pairs of words is made: more are not compared.
const MOST_WORDS = 1500

/** Cut a text into what it shares with another, word by word, and what it alone has (`only`). */
export function unlike(text: string, other: string): Piece[] {
  const [mine, theirs] = [words(text), words(other)]
  if (other === '' || mine.length > MOST_WORDS || theirs.length > MOST_WORDS) return [{ text, kinds: [] }]
  const width = theirs.length + 1
  const common = new Uint16Array((mine.length + 1) * width)
  for (let i = mine.length - 1; i >= 0; i -= 1) {
    for (let j = theirs.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = mine[i] === theirs[j]
        ? (common[(i + 1) * width + j + 1] ?? 0) + 1
        : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0)
    }
  }
  const found: Piece[] = []
  const put = (word: string, only: boolean): void => {
    const last = found.at(-1)
    if (last !== undefined && (last.kinds.length > 0) === only) last.text += word
    else found.push({ text: word, kinds: only ? ['only'] : [] })
  }
  let j = 0
  mine.forEach((word, i) => {
    while (j < theirs.length && word !== theirs[j] && (common[i * width + j + 1] ?? 0) > (common[(i + 1) * width + j] ?? 0)) j += 1
    const same = word === theirs[j]
    put(word, !same)
    if (same) j += 1
  })
  return found
}

function words(text: string): string[] {
  return text.match(/\s+|[^\s]+/g) ?? []
}

/** The value below which a part of all values lies: the nearest rank. */
export function quantile(values: readonly number[], part: number): number | null {
  if (values.length === 0) return null
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? null
}

/** Who answers in a column, as the address has it: an endpoint, or an entity of it. */
export interface Target { name: string; entity: string }

// No name of an endpoint or of an entity has these.
const [BETWEEN, WITHIN] = [',', '~']

export function targetsOf(text: string): Target[] {
  return text.split(BETWEEN).filter((item) => item !== '').map((item) => {
    const [name = '', entity = ''] = item.split(WITHIN)
    return { name, entity }
  })
}

export function textOfTargets(targets: readonly Target[]): string {
  return targets.map(({ name, entity }) => (entity === '' ? name : name + WITHIN + entity)).join(BETWEEN)
}
