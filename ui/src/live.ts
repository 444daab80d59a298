/** What changes, told by one call that waits, for all tabs of this browser. */
import { type QueryClient, useQueryClient } from '@tanstack/react-query'
import { useEffect, useSyncExternalStore } from 'react'
import { ApiError, failureOf, query, send } from './api'

export interface Change { kind: string; name: string }
interface News { revision: string; changes?: Change[]; reset?: boolean }
/** What the tab that asks tells the others; null: what changes is not known. */
type Told = { changes: Change[]; reset: boolean } | null

const PATH = '/api/2.0/changes'
const NAME = 'modelplane-changes'
const SECONDS = 25
// A call that says nothing for longer than it may wait has been lost.
const SILENT_MS = (SECONDS + 10) * 1000
// Changes within this time are told together, as the steps of a rollout are.
const COLLECT_MS = 250
const AGAIN_MS = 5_000
const REFUSED_MS = 60_000

let live = false
const listeners = new Set<() => void>()

function setLive(next: boolean): void {
  if (live === next) return
  live = next
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** Whether changes are told; while they are not, whoever shows something asks for it again and again. */
export function useLive(): boolean {
  return useSyncExternalStore(subscribe, () => live)
}

/** Keep what the pages have read as it is at the deployment, while they are shown. */
export function useChanges(): void {
  const queries = useQueryClient()
  useEffect(() => {
    const end = new AbortController()
    const channel = new BroadcastChannel(NAME)
    let silence: ReturnType<typeof setTimeout> | undefined
    const hear = (told: Told): void => {
      clearTimeout(silence)
      silence = setTimeout(() => setLive(false), SILENT_MS)
      take(queries, told)
    }
    channel.onmessage = ({ data }: MessageEvent<Told>) => hear(data)
    const follow = (): Promise<void> => ask((told) => { hear(told); channel.postMessage(told) }, end.signal)
    // Of all tabs one asks; when it is closed, another goes on. Where there are no locks, each asks.
    if (navigator.locks === undefined) void follow()
    else navigator.locks.request(NAME, { signal: end.signal }, follow).catch(() => undefined)
    return () => {
      end.abort()
      channel.close()
      clearTimeout(silence)
      setLive(false)
    }
  }, [queries])
}

/** Let what has changed be read anew, as far as it is shown. */
function take(queries: QueryClient, told: Told): void {
  const known = live
  setLive(told !== null)
  if (!known || told === null || told.reset) {
    // What was missed meanwhile is not known; and if nobody answers, that is to be seen.
    void queries.invalidateQueries({ queryKey: ['endpoints'] })
    void queries.invalidateQueries({ queryKey: ['endpoint'] })
    return
  }
  if (told.changes.length > 0) void queries.invalidateQueries({ queryKey: ['endpoints'] })
  for (const { name } of told.changes) void queries.invalidateQueries({ queryKey: ['endpoint', name] })
}

async function ask(tell: (told: Told) => void, signal: AbortSignal): Promise<void> {
  let after: string | undefined
  while (!signal.aborted) {
    try {
      const news = await next(after, signal)
      const changes = news.changes ?? []
      tell({ changes, reset: news.reset === true || after === undefined })
      after = news.revision
      if (changes.length > 0) await pause(COLLECT_MS, signal)
    } catch (error) {
      if (signal.aborted) return
      after = undefined
      tell(null)
      const refused = error instanceof ApiError && error.status >= 400 && error.status < 500
      await pause(refused ? REFUSED_MS : AGAIN_MS, signal)
    }
  }
}

async function next(after: string | undefined, signal: AbortSignal): Promise<News> {
  const response = await send({ method: 'GET', path: PATH + query({ after_revision: after, timeout_seconds: SECONDS }) }, signal)
  if (!response.ok) throw failureOf(response, await response.text())
  return await response.json() as News
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(finish, milliseconds)
    function finish(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      done()
    }
    signal.addEventListener('abort', finish)
  })
}
