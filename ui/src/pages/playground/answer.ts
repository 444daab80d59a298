/** Parts of an answer, in the forms of OpenAI's API. Pure. */
import type { Part } from './images'

export interface Usage { prompt_tokens?: number; completion_tokens?: number; total_tokens?: number; estimated?: boolean; prompt_tokens_details?: { cached_tokens?: number } }
/** A function that a model asks the caller to run. */
export interface Call { id?: string; type?: string; function?: { name?: string; arguments?: string }; [more: string]: unknown }
interface Said { role?: string; content?: unknown; tool_calls?: (Call & { index?: number })[]; [more: string]: unknown }
export interface Chunk {
  choices?: { delta?: Said; message?: Said; text?: string }[]
  usage?: Usage
  error?: { message?: string; code?: string } | string
  message?: string
}

/** The text that a part of an answer brings. */
export function textOf(part: Chunk): string {
  const choice = part.choices?.[0]
  const content = choice?.delta?.content ?? choice?.message?.content ?? choice?.text ?? ''
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((item: { text?: string }) => item.text ?? '').join('')
}

/**
 * The calls of tools once a part has come: those of a whole message, or those so far with what the
 * part adds. In a stream each call comes in pieces, whose arguments are joined.
 */
export function withCalls(calls: readonly Call[], part: Chunk): readonly Call[] {
  const choice = part.choices?.[0]
  if (choice?.message?.tool_calls) return choice.message.tool_calls
  const pieces = choice?.delta?.tool_calls
  if (!pieces?.length) return calls
  const next = [...calls]
  for (const { index = next.length, ...piece } of pieces) {
    const before = next[index]
    next[index] = before === undefined ? piece : {
      ...before, ...piece,
      function: {
        ...before.function, ...piece.function,
        name: piece.function?.name || before.function?.name,
        arguments: (before.function?.arguments ?? '') + (piece.function?.arguments ?? ''),
      },
    }
  }
  return next
}

/** What a message has beside its text and its calls, such as signed thoughts. */
export type Rest = Record<string, unknown>

/** The rest of a message once a part has come: of a stream texts and lists are joined. */
export function withRest(rest: Rest, part: Chunk): Rest {
  const { role: _, content: __, tool_calls: ___, ...more } = part.choices?.[0]?.delta ?? part.choices?.[0]?.message ?? {}
  const next: Rest = { ...rest }
  for (const [name, value] of Object.entries(more)) {
    const before = next[name]
    if (value === null || value === undefined) continue
    if (typeof before === 'string' && typeof value === 'string') next[name] = before + value
    else if (Array.isArray(before) && Array.isArray(value)) next[name] = [...before, ...value as unknown[]]
    else if (isObject(before) && isObject(value)) next[name] = { ...before, ...value }
    else next[name] = value
  }
  return next
}

const isObject = (value: unknown): value is Rest => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What a model said as the API takes it back: all of it, since some want their thoughts back. */
export type Message =
  | { role: 'user'; content: string | Part[] }
  | { role: 'assistant'; content: string; tool_calls?: readonly Call[]; reasoning_content?: string; [more: string]: unknown }
  | { role: 'tool'; content: string; tool_call_id: string }

/** The tools that a text of JSON lists, and what is wrong with it. */
export function toolsOf(text: string): { tools: unknown[] | undefined; error: string } {
  if (text.trim() === '') return { tools: undefined, error: '' }
  try {
    const tools: unknown = JSON.parse(text)
    return Array.isArray(tools) ? { tools, error: '' } : { tools: undefined, error: 'A list of tools: [{"type": "function", …}]' }
  } catch (error) {
    return { tools: undefined, error: error instanceof Error ? error.message : String(error) }
  }
}
