/** Says how large what was built is, by Brotli, and fails if a part is beyond its bound: `node budget.mjs STATIC`. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { argv, exit } from 'node:process'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync } from 'node:zlib'

/** In bytes: what a browser loads before it shows the first page, what any other page takes more, and all files as they are. */
export const BOUNDS = { script: 105_000, styles: 16_000, fonts: 70_000, part: 30_000, all: 1_200_000 }

const size = (file) => brotliCompressSync(readFileSync(file)).length
// As minifiers write them; a part that is loaded later is in brackets.
const IMPORTS = /(?:from|import)\s*["'`]\.\/([\w.-]+\.js)["'`]/g

/** A script with all that it cannot run without. */
function closure(assets, name, seen = new Set()) {
  if (seen.has(name)) return seen
  seen.add(name)
  for (const [, other] of readFileSync(join(assets, name), 'utf8').matchAll(IMPORTS)) closure(assets, other, seen)
  return seen
}

/** Sizes of what is loaded first, and of what each other script loads more. */
export function measure(folder) {
  const assets = join(folder, 'assets')
  const files = readdirSync(assets)
  const page = readFileSync(join(folder, 'index.html'), 'utf8')
  const named = files.filter((name) => name.endsWith('.js') && page.includes(`assets/${name}`))
  const first = new Set(named.flatMap((name) => [...closure(assets, name)]))
  const sum = (names) => [...names].reduce((total, name) => total + size(join(assets, name)), 0)
  const ending = (pattern) => sum(files.filter((name) => pattern.test(name)))
  const parts = files.filter((name) => name.endsWith('.js') && !first.has(name)).map((name) =>
    [name, sum([...closure(assets, name)].filter((other) => !first.has(other)))])
  const all = readdirSync(folder, { recursive: true }).map((name) => statSync(join(folder, name))).filter((stat) => stat.isFile())
  return {
    script: sum(first), styles: ending(/\.css$/), fonts: ending(/\.woff2$/),
    parts: Object.fromEntries(parts), all: all.reduce((total, stat) => total + stat.size, 0),
  }
}

/** What is beyond its bound. */
export function beyond({ parts, ...sizes }, bounds = BOUNDS) {
  const whole = Object.entries(sizes).filter(([name, value]) => value > bounds[name])
  const single = Object.entries(parts).filter(([, value]) => value > bounds.part)
  return [...whole, ...single].map(([name, value]) => `${name} ${kilobytes(value)} kB`)
}

const kilobytes = (value) => (value / 1000).toFixed(1)

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { parts, ...sizes } = measure(argv[2] ?? '../control_plane/ui/static')
  const [largest = '', most = 0] = Object.entries(parts).sort(([, one], [, other]) => other - one)[0] ?? []
  console.log(`${kilobytes(sizes.script)} kB script first, ${kilobytes(sizes.styles)} kB styles, at most ${kilobytes(most)} kB more for a page (${largest}), by Brotli`)
  const over = beyond({ parts, ...sizes })
  if (over.length > 0) {
    console.error(`the pages are larger than their budget: ${over.join(', ')}`)
    exit(1)
  }
}
