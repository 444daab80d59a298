/** Parts of an answer, in the forms of OpenAI's API. Pure. */

export interface Usage { prompt_tokens?: number; completion_tokens?: number; total_tokens?: number; estimated?: boolean }
export interface Chunk {
  choices?: { delta?: { content?: unknown; tool_calls?: unknown }; message?: { content?: unknown; tool_calls?: unknown }; text?: string }[]
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

export function callsOf(part: Chunk): unknown {
  return part.choices?.[0]?.message?.tool_calls ?? part.choices?.[0]?.delta?.tool_calls
}
