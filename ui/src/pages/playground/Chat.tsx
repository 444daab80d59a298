import { type ReactNode, useEffect, useRef, useState } from 'react'
import { Failure, Field } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { type Call, type Message, type Rest, textOf, toolsOf, withCalls, withRest } from './answer'
import { AnswerFacts } from './Facts'
import { Attach, Attached, contentOf, Sent, textOfContent, urlsOf, usePictures } from './images'
import { chatRequest, DEFAULTS, SettingsPanel } from './settings'
import { ask, type Outcome } from './stream'

type Answer = Extract<Message, { role: 'assistant' }>
type Entry = Message & { outcome?: Outcome }

const EXAMPLE = 'What is a gateway?'
const bare = ({ outcome: _, ...message }: Entry): Message => message

export function Chat({ name, entity, ready }: { name: string; entity: string; ready: boolean }): ReactNode {
  const [settings, setSettings] = useState(DEFAULTS)
  const [entries, setEntries] = useState<Entry[]>([])
  // The first question is there already; it is only an example.
  const [draft, setDraft] = useState(EXAMPLE)
  const [error, setError] = useState<unknown>(null)
  const [running, setRunning] = useState<AbortController | null>(null)
  const images = usePictures(entries.flatMap(({ content }) => urlsOf(content)))
  const end = useRef<HTMLDivElement>(null)
  useEffect(() => () => running?.abort(), [running])
  useEffect(() => {
    // Some browsers return a promise, which React would take for the end of the effect.
    void end.current?.scrollIntoView({ block: 'nearest' })
  }, [entries])

  /** Ask for what comes after these; if nothing comes, `undo` brings back what was there. */
  const submit = async (asked: Entry[], undo: () => void): Promise<void> => {
    const answer: Answer & { outcome?: Outcome } = { role: 'assistant', content: '' }
    let rest: Rest = {}
    const controller = new AbortController()
    setEntries([...asked, answer])
    setError(null)
    setRunning(controller)
    const show = (change: Partial<typeof answer>): void => {
      Object.assign(answer, change)
      setEntries([...asked, { ...answer }])
    }
    try {
      const outcome = await ask(chatRequest(name, entity, settings, asked.map(bare)), controller.signal, (part) => {
        const calls = withCalls(answer.tool_calls ?? [], part)
        rest = withRest(rest, part)
        show({ ...rest, content: answer.content + textOf(part), ...(calls.length > 0 ? { tool_calls: calls } : {}) })
      })
      show({ outcome })
    } catch (failure) {
      if (!controller.signal.aborted) setError(failure)
      if (answer.content === '' && answer.tool_calls === undefined) undo()
    } finally {
      setRunning(null)
    }
  }
  const send = (): void => {
    const [before, text, pictures] = [entries, draft, images.pictures]
    setDraft('')
    images.set([])
    void submit([...before, { role: 'user', content: contentOf(text, pictures) }], () => { setEntries(before); setDraft(text); images.set(pictures) })
  }
  const last = entries.at(-1)
  const waiting = running === null && last?.role === 'assistant' ? last.tool_calls ?? [] : []
  const preview = chatRequest(name, entity, settings, [...entries.map(bare), { role: 'user', content: contentOf(draft || (images.pictures.length > 0 ? '' : EXAMPLE), images.pictures) }])
  const { error: wrongTools } = toolsOf(settings.tools)
  return (
    <div className="beside play">
      <div className="chat">
        <div className="messages" role="log" aria-label="Conversation" tabIndex={0} aria-busy={running !== null}>
          {entries.length === 0 && <p className="muted center">Ask something. Nothing of it is kept: neither here nor in the usage.</p>}
          {entries.map((entry, place) => <Said key={place} name={name} entry={entry} waits={running !== null && place === entries.length - 1} />)}
          {waiting.length > 0 && (
            <Results calls={waiting} onContinue={(results) => {
              const before = entries
              void submit([...before, ...results], () => setEntries(before))
            }} />
          )}
          <div ref={end} />
        </div>
        <Failure error={error} />
        {!ready && <p className="muted center" role="status">Not ready yet; it can be asked as soon as it is.</p>}
        <form className="ask" onSubmit={(event) => { event.preventDefault(); send() }}>
          <textarea aria-label="Message" required={images.pictures.length === 0} rows={3} placeholder="Message" value={draft} onChange={(event) => setDraft(event.target.value)}
            onPaste={(event) => {
              const pasted = [...event.clipboardData.files]
              if (pasted.length === 0) return
              event.preventDefault()
              void images.add(pasted)
            }}
            onKeyDown={(event) => {
              if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing || running !== null) return
              event.preventDefault()
              event.currentTarget.form?.requestSubmit()
            }} />
          <Attached pictures={images.pictures} problem={images.problem} onChange={images.set} />
          <div className="ask-foot">
            <Attach onAdd={(files) => void images.add(files)} />
            <button type="button" disabled={entries.length === 0 || running !== null} onClick={() => { setEntries([]); setError(null) }}>Clear</button>
            <CopyAs request={preview} />
            {running === null
              ? <button type="submit" className="primary" disabled={!ready || waiting.length > 0 || wrongTools !== ''}>Send</button>
              : <button type="button" className="dangerous" onClick={() => running.abort()}>Stop</button>}
          </div>
        </form>
      </div>
      <SettingsPanel settings={settings} onChange={setSettings} />
    </div>
  )
}

const ROLES = { user: 'You', assistant: 'Model', tool: 'Result' }

// Answers are text: a picture or a link in them must not make the browser call out.
function Said({ name, entry, waits }: { name: string; entry: Entry; waits: boolean }): ReactNode {
  const calls = entry.role === 'assistant' ? entry.tool_calls ?? [] : []
  return (
    <div className={`message ${entry.role}`}>
      <span className="role">{ROLES[entry.role]}</span>
      {entry.role === 'assistant' && entry.reasoning_content && <details><summary>Thoughts</summary><div className="said muted">{entry.reasoning_content}</div></details>}
      <div className="said">{textOfContent(entry.content)}{waits && <span className="caret" aria-hidden="true" />}</div>
      <Sent urls={urlsOf(entry.content)} />
      {calls.map((call, place) => (
        <div className="call" key={call.id ?? place}><strong>{call.function?.name}</strong><code>{call.function?.arguments}</code></div>
      ))}
      {entry.outcome && <AnswerFacts name={name} outcome={entry.outcome} />}
    </div>
  )
}

/** What the tools are to have answered, which the model is told. */
function Results({ calls, onContinue }: { calls: readonly Call[]; onContinue: (results: Message[]) => void }): ReactNode {
  const [texts, setTexts] = useState(calls.map(() => '{}'))
  return (
    <form className="results" onSubmit={(event) => {
      event.preventDefault()
      onContinue(calls.map(({ id }, place) => ({ role: 'tool', tool_call_id: id ?? '', content: texts[place] ?? '' })))
    }}>
      {calls.map(({ id, function: asked }, place) => (
        <Field key={id ?? place} label={`Result of ${asked?.name ?? 'the tool'}`}>
          <textarea rows={2} spellCheck={false} value={texts[place]} onChange={(event) => setTexts(texts.map((text, other) => (other === place ? event.target.value : text)))} />
        </Field>
      ))}
      <button type="submit">Continue</button>
    </form>
  )
}
