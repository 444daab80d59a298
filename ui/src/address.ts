/**
 * The address of a page, which is behind the `#`: its path, and behind a `?` what the page is narrowed to.
 *
 * So a link shows a colleague the same, and no proxy's log has any of it. Whatever an address holds that a
 * page does not know is as if it were not there.
 */

/** What one parameter may be. */
export interface Parameter<T> {
  /** What it is where the address does not have it; no address is made to hold it. */
  readonly fallback: T
  /** Nothing: the text is none that it may be. */
  readonly read: (text: string) => T | undefined
}
export type Parameters = Record<string, Parameter<unknown>>
export type Values<P extends Parameters> = { [Name in keyof P]: P[Name]['fallback'] }

/** A text of at most so many characters. */
export function text(most = 256): Parameter<string> {
  return { fallback: '', read: (given) => (given.length <= most ? given : undefined) }
}

/** One of some values. */
export function oneOf<T extends string>(values: readonly T[], fallback: T): Parameter<T> {
  return { fallback, read: (given) => values.find((value) => value === given) }
}

export const flag: Parameter<boolean> = {
  fallback: false,
  read: (given) => (given === 'true' ? true : undefined),
}

/** A whole number from 1 on; 0: none. */
export const whole: Parameter<number> = {
  fallback: 0,
  read: (given) => (/^[1-9]\d{0,8}$/.test(given) ? Number(given) : undefined),
}

/** The path of an address, with a slash at its beginning. */
export function pathOf(hash: string): string {
  return `/${hash.replace(/^#?\/?/, '').split('?', 1)[0] ?? ''}`
}

/** What stands behind the path, without the `?`. */
export function searchOf(hash: string): string {
  const place = hash.indexOf('?')
  return place < 0 ? '' : hash.slice(place + 1)
}

export function read<P extends Parameters>(parameters: P, search: string): Values<P> {
  const given = new URLSearchParams(search)
  const values = Object.entries(parameters).map(([name, { fallback, read: parse }]) => {
    const found = given.get(name)
    return [name, found === null ? fallback : parse(found) ?? fallback]
  })
  return Object.fromEntries(values) as Values<P>
}

/** What stands behind the path after a change; what belongs to others stays. */
export function changed<P extends Parameters>(parameters: P, search: string, change: Partial<Values<P>>): string {
  const given = new URLSearchParams(search)
  for (const [name, value] of Object.entries(change)) {
    const parameter = parameters[name]
    if (parameter === undefined || value === undefined) continue
    if (value === parameter.fallback) given.delete(name)
    else given.set(name, String(value))
  }
  return given.toString()
}

/** A part of a path as it was before it was encoded; one that is badly encoded as it is. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
