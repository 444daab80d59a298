import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useEffect, useRef, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { Empty, Failure, Field, Head, Loading } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { duration } from '../../format'
import type { Endpoint } from '../../types'
import { type Call, textOf, withCalls } from './answer'
import { quantile, type Target, targetsOf, textOfTargets, unlike } from './compared'
import { AnswerFacts } from './Facts'
import { askable } from './names'
import { chatRequest, DEFAULTS, SettingsPanel } from './settings'
import { ask, type Outcome } from './stream'

const MOST_COLUMNS = 4
const MOST_ROUNDS = 20

interface Column { text: string; calls: readonly Call[]; outcomes: Outcome[]; error: unknown }
const NOTHING: Column = { text: '', calls: [], outcomes: [], error: null }

/** The address of the comparison that begins with an endpoint, and its entities if it has several. */
export function comparison({ name, config }: Endpoint): string {
  const entities = (config?.served_entities ?? []).slice(0, 2).map((entity) => entity.name)
  const targets = entities.length > 1 ? entities.map((entity) => ({ name, entity })) : [{ name, entity: '' }, { name, entity: '' }]
  return `/playground/compare/${textOfTargets(targets)}`
}

/** One question to several endpoints or entities, with their answers beside each other. */
export function ComparePage({ chosen }: { chosen: string }): ReactNode {
  const [, navigate] = useLocation()
  const list = useQuery(askable)
  const chats = (list.data ?? []).filter(({ task }) => task === 'llm/v1/chat')
  const targets = targetsOf(chosen).slice(0, MOST_COLUMNS)
  const set = (next: Target[]): void => navigate(`/playground/compare/${textOfTargets(next)}`)
  return (
    <>
      <Head crumbs={[['Playground', `/playground/${targets[0]?.name ?? ''}`]]} title="Compare" />
      <Failure error={list.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && chats.length === 0 && <Empty title="There is no chat endpoint that you may ask."><Link className="button primary" href="/endpoints/new">Create serving endpoint</Link></Empty>}
      {chats.length > 0 && <Comparison chats={chats} targets={targets} onTargets={set} />}
    </>
  )
}

function Comparison({ chats, targets, onTargets }: {
  chats: Endpoint[]
  targets: Target[]
  onTargets: (targets: Target[]) => void
}): ReactNode {
  const [settings, setSettings] = useState(DEFAULTS)
  const [draft, setDraft] = useState('What is a gateway?')
  const [rounds, setRounds] = useState(1)
  const [columns, setColumns] = useState<Column[]>([])
  const [running, setRunning] = useState<AbortController | null>(null)
  const held = useRef<Column[]>([])
  useEffect(() => () => running?.abort(), [running])
  const requests = targets.map(({ name, entity }) => chatRequest(name, entity, settings, [{ role: 'user', content: draft }]))
  const submit = async (): Promise<void> => {
    const controller = new AbortController()
    setRunning(controller)
    held.current = targets.map(() => NOTHING)
    setColumns(held.current)
    const show = (place: number, change: Partial<Column>): void => {
      held.current = held.current.map((column, other) => (other === place ? { ...column, ...change } : column))
      setColumns(held.current)
    }
    await Promise.all(requests.map(async (request, place) => {
      try {
        for (let round = 0; round < rounds; round += 1) {
          show(place, { text: '', calls: [] })
          const outcome = await ask(request, controller.signal, (part) => {
            const { text, calls } = held.current[place] ?? NOTHING
            show(place, { text: text + textOf(part), calls: withCalls(calls, part) })
          })
          show(place, { outcomes: [...(held.current[place]?.outcomes ?? []), outcome] })
        }
      } catch (error) {
        if (!controller.signal.aborted) show(place, { error })
      }
    }))
    setRunning(null)
  }
  const change = (place: number, target: Target): void => {
    setColumns([])
    onTargets(targets.map((item, other) => (other === place ? target : item)))
  }
  const busy = running !== null
  return (
    <div className="beside play">
      <div>
        <form className="card ask-all" onSubmit={(event) => { event.preventDefault(); void submit() }}>
          <Field label="Message"><textarea required rows={3} value={draft} onChange={(event) => setDraft(event.target.value)} /></Field>
          <div className="ask-foot">
            <label className="check">Times <input type="number" min={1} max={MOST_ROUNDS} required value={rounds} onChange={(event) => setRounds(Math.min(MOST_ROUNDS, Math.max(1, event.target.valueAsNumber || 1)))} /></label>
            <span className="grow" />
            <button type="button" disabled={busy || targets.length >= MOST_COLUMNS} onClick={() => { setColumns([]); onTargets([...targets, targets.at(-1) ?? { name: chats[0]?.name ?? '', entity: '' }]) }}>Add a column</button>
            {busy
              ? <button type="button" className="dangerous" onClick={() => running.abort()}>Stop</button>
              : <button type="submit" className="primary" disabled={targets.length === 0}>Send to all</button>}
          </div>
        </form>
        <div className="compared">
          {targets.map((target, place) => (
            <section className="card" key={place} aria-label={`Column ${place + 1}`} aria-busy={busy}>
              <div className="column-head">
                <Choice chats={chats} target={target} place={place} disabled={busy} onChange={(next) => change(place, next)} />
                {targets.length > 1 && <button type="button" className="small" disabled={busy} aria-label={`Remove column ${place + 1}`} onClick={() => { setColumns([]); onTargets(targets.filter((_, other) => other !== place)) }}>✕</button>}
              </div>
              {columns[place] && <Answer name={target.name} column={columns[place]} other={place === 0 ? undefined : columns[0]} done={!busy} />}
              <CopyAs request={requests[place] ?? { method: 'GET', path: '/' }} />
            </section>
          ))}
        </div>
        {columns.length > 1 && <p className="muted">Marked is what differs from the first column.</p>}
      </div>
      <SettingsPanel settings={settings} onChange={setSettings} />
    </div>
  )
}

function Choice({ chats, target, place, disabled, onChange }: {
  chats: Endpoint[]
  target: Target
  place: number
  disabled: boolean
  onChange: (target: Target) => void
}): ReactNode {
  const options = chats.flatMap(({ name, config }) => {
    const entities = config?.served_entities ?? []
    return [{ name, entity: '' }, ...(entities.length > 1 ? entities.map((entity) => ({ name, entity: entity.name })) : [])]
  })
  const value = textOfTargets([target])
  const known = options.some((option) => textOfTargets([option]) === value)
  return (
    <select aria-label={`Column ${place + 1} is answered by`} disabled={disabled} value={value} onChange={(event) => onChange(targetsOf(event.target.value)[0] ?? target)}>
      {(known ? options : [target, ...options]).map((option) => (
        <option key={textOfTargets([option])} value={textOfTargets([option])}>{option.name}{option.entity !== '' && ` / ${option.entity}`}</option>
      ))}
    </select>
  )
}

function Answer({ name, column, other, done }: { name: string; column: Column; other: Column | undefined; done: boolean }): ReactNode {
  const { text, calls, outcomes, error } = column
  const pieces = done && other !== undefined ? unlike(text, other.text) : [{ text, kinds: [] }]
  const said = JSON.stringify(calls.map(({ function: asked }) => asked))
  const differs = done && other !== undefined && said !== JSON.stringify(other.calls.map(({ function: asked }) => asked))
  const last = outcomes.at(-1)
  const total = outcomes.map(({ totalMs }) => totalMs)
  const first = outcomes.map(({ firstMs }) => firstMs)
  return (
    <>
      <Failure error={error} />
      <div className="said">{pieces.map((piece, place) => (piece.kinds.length > 0 ? <mark key={place}>{piece.text}</mark> : piece.text))}</div>
      {calls.map((call, place) => (
        <div className="call" key={call.id ?? place}><strong>{call.function?.name}</strong><code>{differs ? <mark>{call.function?.arguments}</mark> : call.function?.arguments}</code></div>
      ))}
      {last && <AnswerFacts name={name} outcome={last} />}
      {outcomes.length > 1 && (
        <div className="answer-facts">
          <span>{outcomes.length} answers</span>
          <span>total p50 {duration(quantile(total, 0.5))}, p95 {duration(quantile(total, 0.95))}</span>
          <span>first chunk p50 {duration(quantile(first, 0.5))}, p95 {duration(quantile(first, 0.95))}</span>
        </div>
      )}
    </>
  )
}
