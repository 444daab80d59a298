import { expect, test, vi } from 'vitest'
import { load, Missing } from '../src/loading'

function around(there: boolean[] = [true], kept = new Map<string, string>()) {
  return {
    isThere: vi.fn(() => Promise.resolve(there.shift() ?? true)),
    kept: {
      getItem: (name: string) => kept.get(name) ?? null,
      setItem: (name: string, value: string) => void kept.set(name, value),
      removeItem: (name: string) => void kept.delete(name),
    },
    reload: vi.fn(),
    pause: vi.fn(() => Promise.resolve()),
  }
}
const missing = (): Promise<string> => Promise.reject(new TypeError('Failed to fetch dynamically imported module'))
const settled = (): Promise<void> => new Promise((done) => setTimeout(done))

test('a part that is not there any more loads the page anew, once', async () => {
  const kept = new Map<string, string>()
  const [before, after] = [around([true], kept), around([true], kept)]
  void load(missing, true, () => undefined, before)
  await settled()
  expect(before.reload).toHaveBeenCalledOnce()
  await expect(load(missing, true, () => undefined, after)).rejects.toThrow(Missing)
  expect(after.reload).not.toHaveBeenCalled()
})

test('a later upgrade is met as the first one was', async () => {
  const kept = new Map([['reloaded', '1']])
  expect(await load(() => Promise.resolve('part'), true, () => undefined, around([], kept))).toBe('part')
  const next = around([true], kept)
  void load(missing, true, () => undefined, next)
  await settled()
  expect(next.reload).toHaveBeenCalledOnce()
})

test('nothing that was begun is lost for a part beside it', async () => {
  const one = around()
  await expect(load(missing, false, () => undefined, one)).rejects.toThrow(Missing)
  expect(one.reload).not.toHaveBeenCalled()
})

test('while nobody answers, the page stays and says so', async () => {
  const one = around([false, false, true])
  const tell = vi.fn()
  let calls = 0
  const part = (): Promise<string> => (calls++ === 0 ? missing() : Promise.resolve('part'))
  expect(await load(part, true, tell, one)).toBe('part')
  expect(tell).toHaveBeenCalledTimes(2)
  expect(one.reload).not.toHaveBeenCalled()
})
