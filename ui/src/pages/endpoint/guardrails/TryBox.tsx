import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type ApiRequest, run } from '../../../api'
import { Failure, Field, Table } from '../../../kit'
import { CopyAs } from '../../../kit/CopyAs'
import { pieces } from '../../../marks'
import type { Endpoint, Verdict } from '../../../types'

const MOST_CHARACTERS = 100_000
const ACTIONS: Record<string, [string, string]> = {
  NONE: ['Passes', 'success'],
  MASK: ['Passes with marks', 'warning'],
  BLOCK: ['Is refused', 'danger'],
}

/** A text, and what this endpoint's guardrails would do about it; nothing of it is kept. */
export function TryBox({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const [text, setText] = useState('')
  const [direction, setDirection] = useState('INPUT')
  const body = { name: endpoint.name, direction, text }
  const request: ApiRequest = { method: 'POST', path: '/serving-endpoints/guardrails/check', body }
  const check = useMutation({ mutationFn: async () => ({ asked: text, ...(await run<Verdict>(request)) }) })
  const asks = endpoint.permission_level !== 'CAN_VIEW'
  return (
    <section>
      <div className="card-head"><h2>Try them</h2><CopyAs request={request} /></div>
      <p className="muted">What would be done about a text, for you, by what is saved. Nothing of it is kept; only judges are asked.</p>
      <Failure error={check.error} />
      <form onSubmit={(event) => { event.preventDefault(); check.mutate() }}>
        <Field label="Text">
          <textarea required rows={4} maxLength={MOST_CHARACTERS} value={text} onChange={(event) => setText(event.target.value)} />
        </Field>
        <div className="inline">
          <Field label="It is">
            <select value={direction} onChange={(event) => setDirection(event.target.value)}>
              <option value="INPUT">of a request</option>
              <option value="OUTPUT">of an answer</option>
            </select>
          </Field>
          <button type="submit" className="primary" disabled={!asks || check.isPending} title={asks ? undefined : 'This takes CAN_QUERY on the endpoint'}>Check</button>
        </div>
      </form>
      {check.data && <Told verdict={check.data} />}
    </section>
  )
}

function Told({ verdict }: { verdict: Verdict & { asked: string } }): ReactNode {
  const [word, look] = ACTIONS[verdict.action] ?? [verdict.action, 'muted']
  const findings = verdict.findings.map((finding, place) => ({ ...finding, place }))
  return (
    <div className="card" role="status">
      <p><span className={`state ${look}`}>{word}</span></p>
      <p className="said">{pieces(verdict.asked, findings).map(({ text, kinds }, place) =>
        // Pieces have no other name than their place.
        kinds.length === 0 ? <span key={place}>{text}</span> : <mark key={place} title={kinds.join(', ')}>{text}</mark>)}</p>
      {verdict.action === 'MASK' && <><h3>What goes on</h3><p className="said">{verdict.text}</p></>}
      {findings.length > 0 && (
        <Table label="Findings" rows={findings} id={({ place }) => place} columns={[
          { title: 'Found', cell: ({ kind }) => <strong>{kind}</strong> },
          { title: 'Policy', cell: ({ policy }) => policy },
          { title: 'Does', cell: ({ action }) => action },
          { title: 'Mode', cell: ({ mode }) => mode },
        ]} />
      )}
    </div>
  )
}
