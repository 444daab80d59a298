import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { beyond, measure } from '../budget.mjs'

const noise = (bytes) => `/*${randomBytes(bytes).toString('base64').slice(0, bytes)}*/`
let folder = ''

function write(name, text) {
  writeFileSync(join(folder, name), text)
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'budget-'))
  mkdirSync(join(folder, 'assets'))
  write('index.html', '<script type="module" src="./assets/index-1.js"></script><link href="./assets/index-2.css">')
  write('assets/index-2.css', 'p{}')
  write('assets/index-1.js', `import{a}from"./shared-1.js";import("./page-1.js");${noise(1000)}`)
  write('assets/shared-1.js', noise(2000))
  write('assets/page-1.js', `import{a}from"./shared-1.js";import{b}from"./part-1.js";${noise(4000)}`)
  write('assets/part-1.js', `import"./index-1.js";${noise(8000)}`)
})
afterEach(() => rmSync(folder, { recursive: true }))

test('first comes what the page names with what that needs, and each part has what it needs more', () => {
  const { script, parts } = measure(folder)
  expect(Object.keys(parts).sort()).toEqual(['page-1.js', 'part-1.js'])
  expect([script / 3000, parts['page-1.js'] / 12_000, parts['part-1.js'] / 8000].every((share) => share > 0.7 && share < 1.1)).toBe(true)
})

test('what is beyond its bound is named', () => {
  const sizes = measure(folder)
  const bounds = { script: 10_000, styles: 100, fonts: 100, part: 20_000, all: 100_000 }
  expect(beyond(sizes, bounds)).toEqual([])
  expect(beyond(sizes, { ...bounds, part: 7000 }).map((told) => told.split(' ')[0])).toEqual(['page-1.js'])
  expect(beyond(sizes, { ...bounds, script: 1000, all: 10_000 }).map((told) => told.split(' ')[0])).toEqual(['script', 'all'])
})
