import { type ReactNode, useEffect, useRef, useState } from 'react'
import { type ApiRequest, queryPath } from '../../api'
import { Check, Failure, Field } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { callsOf, textOf } from './answer'
import { AnswerFacts } from './Facts'
import { ask, type Outcome } from './stream'

interface Message { id: number; role: 'user' | 'assistant'; content: string; calls?: unknown; outcome?: Outcome }

interface Settings { system: string; maxTokens: string; temperature: string; topP: string; stream: boolean }

function requestOf(name: string, entity: string, settings: Settings, messages: readonly Message[]): ApiRequest {
  const said = messages.map(({ role, content, calls }) => ({ role, content, ...(calls === undefined ? {} : { tool_calls: calls }) }))
  const body = {
    messages: settings.system.trim() === '' ? said : [{ role: 'system', content: settings.system }, ...said],
    ...number('max_tokens', settings.maxTokens),
    ...number('temperature', settings.temperature),
    ...number('top_p', settings.topP),
    ...(settings.stream ? { stream: true, stream_options: { include_usage: true } } : {}),
  }
  return { method: 'POST', path: queryPath(name, entity), body }
}

function number(field: string, text: string): Record<string, number> {
  return text.trim() === '' ? {} : { [field]: Number(text) }
}

export function Chat({ name, entity }: { name: string; entity: string }): ReactNode {
  const [settings, setSettings] = useState<Settings>({ system: '', maxTokens: '256', temperature: '', topP: '', stream: true })
  const [messages, setMessages] = useState<Message[]>([])
  const [draft, setDraft] = useState('')
  const [error, setError] = useState<unknown>(null)
  const [running, setRunning] = useState<AbortController | null>(null)
  const end = useRef<HTMLDivElement>(null)
  useEffect(() => () => running?.abort(), [running])
  useEffect(() => {
    // Some browsers return a promise, which React would take for the end of the effect.
    void end.current?.scrollIntoView({ block: 'nearest' })
  }, [messages])

  const submit = async (): Promise<void> => {
    const id = messages.length
    const asked: Message[] = [...messages, { id, role: 'user', content: draft }]
    const answer: Message = { id: id + 1, role: 'assistant', content: '' }
    const controller = new AbortController()
    setMessages([...asked, answer])
    setDraft('')
    setError(null)
    setRunning(controller)
    const show = (change: Partial<Message>): void => {
      Object.assign(answer, change)
      setMessages([...asked, { ...answer }])
    }
    try {
      const outcome = await ask(requestOf(name, entity, settings, asked), controller.signal, (part) => {
        const calls = callsOf(part)
        show({ content: answer.content + textOf(part), ...(calls === undefined ? {} : { calls }) })
      })
      show({ outcome })
    } catch (failure) {
      if (!controller.signal.aborted) {
        setError(failure)
        if (answer.content === '') {
          // The question can be asked again.
          setMessages(messages)
          setDraft(draft)
        }
      }
    } finally {
      setRunning(null)
    }
  }
  const next = draft === '' ? 'What is a gateway?' : draft
  const preview = requestOf(name, entity, settings, [...messages, { id: -1, role: 'user', content: next }])
  return (
    <div className="beside play">
      <div className="chat">
        <div className="messages" aria-live="polite" aria-busy={running !== null}>
          {messages.length === 0 && <p className="muted center">Ask something. Nothing of it is kept: neither here nor in the usage.</p>}
          {messages.map((message) => <Said key={message.id} message={message} waits={running !== null && message.id === messages.length - 1} />)}
          <div ref={end} />
        </div>
        <Failure error={error} />
        <form className="ask" onSubmit={(event) => { event.preventDefault(); void submit() }}>
          <textarea aria-label="Message" required rows={3} placeholder="Message" value={draft} onChange={(event) => setDraft(event.target.value)}
            onKeyDown={(event) => { if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit() }} />
          <div className="ask-foot">
            <button type="button" disabled={messages.length === 0 || running !== null} onClick={() => { setMessages([]); setError(null) }}>Clear</button>
            <CopyAs request={preview} />
            {running === null
              ? <button type="submit" className="primary">Send</button>
              : <button type="button" className="dangerous" onClick={() => running.abort()}>Stop</button>}
          </div>
        </form>
      </div>
      <aside className="settings" aria-label="Settings">
        <h2>Settings</h2>
        <Field label="System text" required={false}><textarea rows={4} value={settings.system} onChange={(event) => setSettings({ ...settings, system: event.target.value })} /></Field>
        <Field label="Most tokens" required={false}><input type="number" min={1} value={settings.maxTokens} onChange={(event) => setSettings({ ...settings, maxTokens: event.target.value })} /></Field>
        <Field label="Temperature" required={false}><input type="number" min={0} max={2} step={0.1} value={settings.temperature} onChange={(event) => setSettings({ ...settings, temperature: event.target.value })} /></Field>
        <Field label="Top p" required={false}><input type="number" min={0} max={1} step={0.05} value={settings.topP} onChange={(event) => setSettings({ ...settings, topP: event.target.value })} /></Field>
        <Check label="Stream the answer" checked={settings.stream} onChange={(stream) => setSettings({ ...settings, stream })} />
      </aside>
    </div>
  )
}

// Answers are text: a picture or a link in them must not make the browser call out.
function Said({ message, waits }: { message: Message; waits: boolean }): ReactNode {
  return (
    <div className={`message ${message.role}`}>
      <span className="role">{message.role === 'user' ? 'You' : 'Model'}</span>
      <div className="said">{message.content}{waits && <span className="caret" aria-hidden="true" />}</div>
      {message.calls !== undefined && <pre>{JSON.stringify(message.calls, null, 2)}</pre>}
      {message.outcome && <AnswerFacts outcome={message.outcome} />}
    </div>
  )
}
