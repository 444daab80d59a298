import { type ReactNode, useState } from 'react'
import { useFeatures } from '../../../deployment'
import { Check, Field, NEEDS_MANAGE } from '../../../kit'
import { CopyAs } from '../../../kit/CopyAs'
import type { Endpoint, Guardrails, GuardrailSide } from '../../../types'
import { useGatewaySave } from '../useGatewaySave'

type Side = 'input' | 'output'
const SIDES: [Side, string][] = [['input', 'Requests'], ['output', 'Answers']]
const BEHAVIORS: [string, string][] = [['NONE', 'Let it pass'], ['MASK', 'Mask it'], ['BLOCK', 'Refuse it']]

/** The guardrails of the AI Gateway settings. */
export function Settings({ endpoint, manages }: { endpoint: Endpoint; manages: boolean }): ReactNode {
  const [editing, setEditing] = useState(false)
  const guardrails = endpoint.ai_gateway?.guardrails ?? {}
  if (editing) return <Edit endpoint={endpoint} onClose={() => setEditing(false)} />
  return (
    <section>
      <div className="card-head">
        <h2>Guardrails</h2>
        <button type="button" title={manages ? undefined : NEEDS_MANAGE} disabled={!manages} onClick={() => setEditing(true)}>Edit</button>
      </div>
      {SIDES.map(([side, title]) => {
        const { pii, invalid_keywords: words = [], safety, valid_topics: topics = [] } = guardrails[side] ?? {}
        return (
          <div key={side}>
            <h3>{title}</h3>
            <dl className="facts">
              <div><dt>Personal data</dt><dd>{BEHAVIORS.find(([value]) => value === (pii?.behavior ?? 'NONE'))?.[1] ?? pii?.behavior}</dd></div>
              <div><dt>Words that are refused</dt><dd>{words.length === 0 ? 'none' : words.join(', ')}</dd></div>
              {safety && <div><dt>Safety</dt><dd>a judge decides</dd></div>}
              {topics.length > 0 && <div><dt>Topics</dt><dd>{topics.join(', ')}</dd></div>}
            </dl>
          </div>
        )
      })}
    </section>
  )
}

function Edit({ endpoint, onClose }: { endpoint: Endpoint; onClose: () => void }): ReactNode {
  const [began] = useState(endpoint.ai_gateway ?? {})
  const guardrails: Guardrails = began.guardrails ?? {}
  const [sides, setSides] = useState<Record<Side, SideDraft>>({ input: draftOf(guardrails.input), output: draftOf(guardrails.output) })
  const features = useFeatures()
  // Without a judge both are refused.
  const judged = guardrails.judge !== undefined
  const body = {
    ...began,
    guardrails: { ...guardrails, input: sideOf(sides.input, guardrails.input), output: sideOf(sides.output, guardrails.output) },
  }
  const { request, busy, save, problem } = useGatewaySave(endpoint, body, onClose)
  const change = (side: Side, values: Partial<SideDraft>): void =>
    setSides({ ...sides, [side]: { ...sides[side], ...values } })
  return (
    <form onSubmit={(event) => { event.preventDefault(); save() }}>
      <div className="card-head"><h2>Guardrails</h2><CopyAs request={request} /></div>
      {problem}
      <div className="columns">
        {SIDES.map(([side, title]) => (
          <fieldset className="card" key={side}>
            <legend>{title}</legend>
            <Field label="Personal data" help="E-mail addresses, cards, telephones, social security and bank numbers.">
              <select value={sides[side].behavior} onChange={(event) => change(side, { behavior: event.target.value })}>
                {BEHAVIORS.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
              </select>
            </Field>
            <Field label="Words that are refused" required={false} help="One a line, whatever their case; at most 200.">
              <textarea rows={3} value={sides[side].words} onChange={(event) => change(side, { words: event.target.value })} />
            </Field>
            {(judged || features.has('safety_judge') || sides[side].safety) && (
              <Check label="Let a judge refuse what is unsafe" checked={sides[side].safety} onChange={(safety) => change(side, { safety })} />
            )}
            {(judged || features.has('topics_judge') || sides[side].topics !== '') && (
              <Field label="Only these topics" required={false} help="One a line; a judge decides.">
                <textarea rows={2} value={sides[side].topics} onChange={(event) => change(side, { topics: event.target.value })} />
              </Field>
            )}
          </fieldset>
        ))}
      </div>
      <div className="form-foot">
        <button type="button" onClick={onClose}>Discard</button>
        <button type="submit" className="primary" disabled={busy}>Save</button>
      </div>
    </form>
  )
}

interface SideDraft { behavior: string; words: string; safety: boolean; topics: string }

function draftOf(side: GuardrailSide | undefined): SideDraft {
  return {
    behavior: side?.pii?.behavior ?? 'NONE',
    words: (side?.invalid_keywords ?? []).join('\n'),
    safety: side?.safety ?? false,
    topics: (side?.valid_topics ?? []).join('\n'),
  }
}

function sideOf({ behavior, words, safety, topics }: SideDraft, before: GuardrailSide | undefined): GuardrailSide {
  return {
    pii: { ...before?.pii, behavior },
    ...list('invalid_keywords', words),
    ...(safety ? { safety } : {}),
    ...list('valid_topics', topics),
  }
}

function list(name: string, text: string): Record<string, string[]> {
  const items = text.split('\n').map((line) => line.trim()).filter((line) => line !== '')
  return items.length === 0 ? {} : { [name]: items }
}
