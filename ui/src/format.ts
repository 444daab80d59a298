/** Numbers and times as the pages print them. */

export function when(milliseconds: number | undefined): string {
  if (!milliseconds) return '–'
  return new Date(milliseconds).toLocaleString(undefined, {
    dateStyle: 'medium',
    timeStyle: 'short',
  })
}

/** A time to the second, where that is what counts. */
export function exactly(milliseconds: number): string {
  return new Date(milliseconds).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
}

const STEPS: [number, Intl.RelativeTimeFormatUnit][] = [
  [60, 'second'],
  [60, 'minute'],
  [24, 'hour'],
  [30, 'day'],
  [12, 'month'],
  [Number.POSITIVE_INFINITY, 'year'],
]

/** How long ago a time was, or how far ahead it is, in the largest fitting unit. */
export function ago(milliseconds: number | undefined, now: number = Date.now()): string {
  if (!milliseconds) return '–'
  let value = (milliseconds - now) / 1000
  for (const [size, unit] of STEPS) {
    if (Math.abs(value) < size) {
      const words = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' })
      return words.format(Math.round(value), unit)
    }
    value /= size
  }
  return when(milliseconds)
}

export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : value.toLocaleString()
}

/** A large number in short, such as 1.2K. */
export function short(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  return new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 }).format(value)
}

export function duration(milliseconds: number | null | undefined): string {
  if (milliseconds === null || milliseconds === undefined) return '–'
  if (milliseconds < 1000) return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`
  const seconds = milliseconds / 1000
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}

export function percent(part: number, whole: number): string {
  return whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`
}

const BYTES = ['B', 'kB', 'MB', 'GB', 'TB']

/** A number of bytes, in the largest unit of which it is at least one. */
export function bytes(value: number): string {
  const power = Math.min(BYTES.length - 1, Math.floor(Math.log10(Math.max(1, value)) / 3))
  return `${(value / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${BYTES[power]}`
}
