/** Asks an endpoint, in events or at once, and tells how it went. */
import { type ApiRequest, failureOf, send } from '../../api'
import type { Chunk, Usage } from './answer'

export interface Outcome {
  headers: Headers
  firstMs: number
  totalMs: number
  usage: Usage | undefined
}
/**
 * Send a query and hand over each part of its answer.
 *
 * @param request The query; with `stream` in its body, parts come as they arrive.
 * @param signal Ends the query, at the provider too.
 * @param onPart Called with each event, or once with the whole answer.
 */
export async function ask(request: ApiRequest, signal: AbortSignal, onPart: (part: Chunk) => void): Promise<Outcome> {
  const start = performance.now()
  const response = await send(request, signal)
  if (!response.ok) throw failureOf(response, await response.text())
  let usage: Usage | undefined
  let firstMs = 0
  const take = (part: Chunk): void => {
    firstMs ||= performance.now() - start
    usage = part.usage ?? usage
    if (part.error !== undefined) throw new Error(typeof part.error === 'string' ? part.message ?? part.error : part.error.message ?? part.message ?? 'The stream failed.')
    onPart(part)
  }
  if (response.headers.get('content-type')?.startsWith('text/event-stream')) {
    for await (const data of events(response)) if (data !== '[DONE]') take(JSON.parse(data) as Chunk)
  } else {
    take(JSON.parse(await response.text()) as Chunk)
  }
  return { headers: response.headers, firstMs, totalMs: performance.now() - start, usage }
}

async function* events(response: Response): AsyncGenerator<string> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  while (reader !== undefined) {
    const { done, value } = await reader.read()
    const lines = (rest + (value ?? '')).split('\n')
    rest = lines.pop() ?? ''
    yield* lines.flatMap(dataOf)
    if (done) return void (yield* dataOf(rest))
  }
}

function dataOf(line: string): string[] {
  return line.startsWith('data:') ? [line.slice(5).trim()] : []
}
