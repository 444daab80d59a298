import type { ReactNode } from 'react'
import { type ApiRequest, queryPath } from '../../api'
import { Check, Field } from '../../kit'
import { type Message, toolsOf } from './answer'

export interface Settings { system: string; maxTokens: string; temperature: string; topP: string; tools: string; tags: string; stream: boolean }
export const DEFAULTS: Settings = { system: '', maxTokens: '256', temperature: '', topP: '', tools: '', tags: '', stream: true }

const EXAMPLE_TOOL = '[{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]'

/** The query that continues a conversation. */
export function chatRequest(name: string, entity: string, settings: Settings, said: readonly Message[]): ApiRequest {
  const { tools } = toolsOf(settings.tools)
  const tags = tagsOf(settings.tags)
  const body = {
    messages: settings.system.trim() === '' ? said : [{ role: 'system', content: settings.system }, ...said],
    ...number('max_tokens', settings.maxTokens),
    ...number('temperature', settings.temperature),
    ...number('top_p', settings.topP),
    ...(tools === undefined ? {} : { tools }),
    ...(tags === undefined ? {} : { usage_context: tags }),
    ...(settings.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
  }
  return { method: 'POST', path: queryPath(name, entity), body }
}

function number(field: string, text: string): Record<string, number> {
  return text.trim() === '' ? {} : { [field]: Number(text) }
}

function tagsOf(text: string): Record<string, string> | undefined {
  const parts = text.split(',').map((part) => part.trim()).filter((part) => part !== '')
  if (parts.length === 0) return undefined
  return Object.fromEntries(parts.map((part) => {
    const [key = '', ...value] = part.split('=')
    return [key.trim(), value.join('=').trim()]
  }))
}

export function SettingsPanel({ settings, onChange, tools = true }: {
  settings: Settings
  onChange: (settings: Settings) => void
  tools?: boolean
}): ReactNode {
  const set = (change: Partial<Settings>): void => onChange({ ...settings, ...change })
  const { error } = toolsOf(settings.tools)
  return (
    <aside className="settings" aria-label="Settings">
      <h2>Settings</h2>
      <Field label="System text" required={false}><textarea rows={3} value={settings.system} onChange={(event) => set({ system: event.target.value })} /></Field>
      <Field label="Most tokens" required={false}><input type="number" min={1} value={settings.maxTokens} onChange={(event) => set({ maxTokens: event.target.value })} /></Field>
      <Field label="Temperature" required={false}><input type="number" min={0} max={2} step={0.1} value={settings.temperature} onChange={(event) => set({ temperature: event.target.value })} /></Field>
      <Field label="Top p" required={false}><input type="number" min={0} max={1} step={0.05} value={settings.topP} onChange={(event) => set({ topP: event.target.value })} /></Field>
      {tools && (
        <Field label="Tools" required={false} help={error === '' ? 'JSON, as in OpenAI’s API.' : <span className="danger">{error}</span>}>
          <textarea rows={4} spellCheck={false} placeholder={EXAMPLE_TOOL} value={settings.tools} onChange={(event) => set({ tools: event.target.value })} />
        </Field>
      )}
      <Field label="Usage tags" required={false} help="key=value, with commas; usage is counted by them.">
        <input autoComplete="off" value={settings.tags} onChange={(event) => set({ tags: event.target.value })} />
      </Field>
      <Check label="Stream the answer" checked={settings.stream} onChange={(stream) => set({ stream })} />
    </aside>
  )
}
