import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type ApiRequest, endpointPath, get, run } from '../../../api'
import { Dialog, Empty, Failure, Field, Loading, NEEDS_MANAGE, Table } from '../../../kit'
import { CopyAs } from '../../../kit/CopyAs'
import type { Policy } from '../../../types'

const EXAMPLE: Policy[] = [{ name: 'badges', action: 'mask', patterns: { expressions: ['EMP-[0-9]{4,6}'], entity: 'BADGE' } }]

/** The policies of an endpoint, which are edited as the JSON that the API takes. */
export function Policies({ name, manages }: { name: string; manages: boolean }): ReactNode {
  const [editing, setEditing] = useState(false)
  const list = useQuery({
    queryKey: ['policies', name],
    queryFn: () => get<{ policies?: Policy[] }>(endpointPath(name, '/policies')),
  })
  const policies = list.data?.policies ?? []
  return (
    <section>
      <div className="card-head">
        <h2>Policies</h2>
        <button type="button" title={manages ? undefined : NEEDS_MANAGE} disabled={!manages || !list.data} onClick={() => setEditing(true)}>Edit</button>
      </div>
      <Failure error={list.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && policies.length === 0 && <Empty title="There is no policy: only the guardrails above are looked for." />}
      {policies.length > 0 && (
        <Table label="Policies" rows={policies} id={(policy) => policy.name} columns={[
          { title: 'Policy', cell: (policy) => <strong>{policy.name}</strong> },
          { title: 'Looks for', cell: target },
          { title: 'In', cell: ({ phases = [] }) => phases.join(', ') },
          { title: 'Does', cell: ({ action }) => action },
          { title: 'Mode', cell: ({ mode }) => <span className={`state ${mode === 'log' ? 'muted' : 'success'}`}>{mode === 'log' ? 'Only logs' : 'Enforced'}</span> },
          { title: 'Rank', number: true, cell: ({ rank }) => rank },
        ]} />
      )}
      {editing && <Edit name={name} policies={policies} onClose={() => setEditing(false)} />}
    </section>
  )
}

function target({ pii, keywords, patterns, judge }: Policy): ReactNode {
  if (pii) return `personal data${pii.entities?.length ? `: ${pii.entities.join(', ')}` : ''}`
  if (keywords) return `words: ${keywords.words.join(', ')}`
  if (patterns) return <>patterns: <code>{patterns.expressions.join(', ')}</code></>
  return judge ? `what the judge ${judge.endpoint_name} refuses` : ''
}

function Edit({ name, policies, onClose }: { name: string; policies: Policy[]; onClose: () => void }): ReactNode {
  const queries = useQueryClient()
  const [text, setText] = useState(() => JSON.stringify(policies.length === 0 ? EXAMPLE : policies, null, 2))
  const [parsed, problem] = read(text)
  const request: ApiRequest = { method: 'PUT', path: endpointPath(name, '/policies'), body: { policies: parsed } }
  const save = useMutation({
    mutationFn: () => run(request),
    onSuccess: async () => { await queries.invalidateQueries({ queryKey: ['policies', name] }); onClose() },
  })
  return (
    <Dialog title="Policies" wide onClose={onClose}>
      <form onSubmit={(event) => { event.preventDefault(); save.mutate() }}>
        <Failure error={save.error} />
        <Field label="All policies of the endpoint, as JSON" help={problem === '' ? 'At most 20. An empty list removes them.' : <span className="danger">{problem}</span>}>
          <textarea rows={14} spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} />
        </Field>
        <div className="dialog-foot">
          {problem === '' && <CopyAs request={request} />}
          <button type="button" onClick={onClose}>Discard</button>
          <button type="submit" className="primary" disabled={problem !== '' || save.isPending}>Save</button>
        </div>
      </form>
    </Dialog>
  )
}

function read(text: string): [unknown[], string] {
  try {
    const value: unknown = JSON.parse(text)
    return Array.isArray(value) ? [value, ''] : [[], 'This is no list.']
  } catch (error) {
    return [[], error instanceof Error ? error.message : 'This is no JSON.']
  }
}
