import { type ReactNode, useEffect, useState } from 'react'
import { type ApiRequest, queryPath } from '../../api'
import { Failure, Field } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import type { Endpoint } from '../../types'
import { exampleBody } from './examples'
import { AnswerFacts } from './Facts'
import { ask, type Outcome } from './stream'

const LONGEST_SHOWN = 20_000

/** The query as JSON, for every task. */
export function Raw({ endpoint, entity }: { endpoint: Endpoint; entity: string }): ReactNode {
  const example = JSON.stringify(exampleBody(endpoint.task), null, 2)
  const [text, setText] = useState(example)
  const [answer, setAnswer] = useState('')
  const [outcome, setOutcome] = useState<Outcome | null>(null)
  const [error, setError] = useState<unknown>(null)
  const [running, setRunning] = useState<AbortController | null>(null)
  useEffect(() => () => running?.abort(), [running])
  const body = parsed(text)
  const request: ApiRequest = { method: 'POST', path: queryPath(endpoint.name, entity), body: body.value }
  const submit = async (): Promise<void> => {
    const controller = new AbortController()
    setRunning(controller)
    setError(null)
    setOutcome(null)
    setAnswer('')
    try {
      let shown = ''
      const streams = (body.value as { stream?: unknown } | null)?.stream === true
      setOutcome(await ask(request, controller.signal, (part) => {
        shown += streams ? `${JSON.stringify(part)}\n` : JSON.stringify(part, null, 2)
        setAnswer(shown.length > LONGEST_SHOWN ? `${shown.slice(0, LONGEST_SHOWN)}\n… ${shown.length} characters in all` : shown)
      }))
    } catch (failure) {
      if (!controller.signal.aborted) setError(failure)
    } finally {
      setRunning(null)
    }
  }
  return (
    <form onSubmit={(event) => { event.preventDefault(); void submit() }}>
      <Failure error={error} />
      <div className="columns">
        <Field label="Request" help={body.error === '' ? 'JSON' : <span className="danger" role="alert">{body.error}</span>}>
          <textarea rows={18} spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} />
        </Field>
        <Field label="Response"><textarea rows={18} readOnly aria-live="polite" value={answer} placeholder={running ? 'Waiting …' : 'The answer comes here.'} /></Field>
      </div>
      {outcome && <AnswerFacts name={endpoint.name} outcome={outcome} />}
      <div className="form-foot">
        <button type="button" onClick={() => setText(example)}>Show example</button>
        {body.error === '' && <CopyAs request={request} />}
        {running === null
          ? <button className="primary" type="submit" disabled={body.error !== ''}>Send request</button>
          : <button type="button" className="dangerous" onClick={() => running.abort()}>Stop</button>}
      </div>
    </form>
  )
}

function parsed(text: string): { value: unknown; error: string } {
  try {
    return { value: JSON.parse(text) as unknown, error: '' }
  } catch (error) {
    return { value: null, error: error instanceof Error ? error.message : String(error) }
  }
}
