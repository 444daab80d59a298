import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { ENDPOINTS, get, query } from '../api'
import { Check, Field } from '../kit'
import type { OptimizationInfo } from '../types'
import { CONCURRENCY, type HostedDraft, stepsOf, TOKENS, UNITS } from './draft'

const SIZES: [string, string][] = [
  ['Small', 'Small: 4 concurrent requests'],
  ['Medium', 'Medium: 8 to 16'],
  ['Large', 'Large: 16 to 64'],
  [CONCURRENCY, 'Provisioned concurrency of my own'],
  [TOKENS, 'Provisioned throughput: tokens per second'],
  [UNITS, 'Provisioned throughput: model units'],
]

/** A model that is hosted here, and how much of it is kept ready. */
export function HostedFields({ hosted, onChange }: {
  hosted: HostedDraft
  onChange: (change: Partial<HostedDraft>) => void
}): ReactNode {
  return (
    <>
      <div className="columns">
        <Field label="Entity" help="Full name of a registered model, such as main.ml.iris, or of a foundation model, such as system.ai.smollm2.">
          <input required autoComplete="off" spellCheck={false} value={hosted.entity} onChange={(event) => onChange({ entity: event.target.value })} />
        </Field>
        <Field label="Version" help="A version, or @ and an alias.">
          <input required autoComplete="off" value={hosted.version} onChange={(event) => onChange({ version: event.target.value })} />
        </Field>
        <Field label="Scale" help="By requests at a time, or, of language models, by tokens.">
          <select value={hosted.size} onChange={(event) => onChange({ size: event.target.value, least: '', most: '' })}>
            {SIZES.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
          </select>
        </Field>
        {hosted.size === CONCURRENCY && (
          <>
            <Field label="At least" help="Multiples of 4; 0 where it may scale to zero.">
              <input required type="number" min={0} step={4} value={hosted.least} onChange={(event) => onChange({ least: event.target.value })} />
            </Field>
            <Field label="Up to" help="Multiples of 4.">
              <input required type="number" min={4} step={4} value={hosted.most} onChange={(event) => onChange({ most: event.target.value })} />
            </Field>
          </>
        )}
        {(hosted.size === TOKENS || hosted.size === UNITS) && <Throughput hosted={hosted} onChange={onChange} />}
        <Field label="Compute type" required={false} help="CPU, CPU_MEDIUM, CPU_LARGE, or one that the operator offers.">
          <input autoComplete="off" placeholder="CPU" value={hosted.type} onChange={(event) => onChange({ type: event.target.value })} />
        </Field>
      </div>
      <Check label="Scale to zero while nobody asks" checked={hosted.toZero} onChange={(toZero) => onChange({ toZero })} />
      <Field label="Environment variables" required={false} help="NAME=value, one a line; a value may be {{secrets/scope/key}}.">
        <textarea rows={3} spellCheck={false} value={hosted.variables} onChange={(event) => onChange({ variables: event.target.value })} />
      </Field>
    </>
  )
}

/** Tokens per second, in the steps in which this model can be provisioned, or model units. */
function Throughput({ hosted, onChange }: {
  hosted: HostedDraft
  onChange: (change: Partial<HostedDraft>) => void
}): ReactNode {
  const path = [hosted.entity, hosted.version].map((part) => encodeURIComponent(part.trim())).join('/')
  const info = useQuery({
    queryKey: ['optimization', path, hosted.type.trim()],
    queryFn: () => get<OptimizationInfo>(`${ENDPOINTS}/get-model-optimization-info/${path}${query({ workload_type: hosted.type.trim() })}`),
    enabled: hosted.entity.trim() !== '' && hosted.version.trim() !== '',
  })
  const chunk = info.data?.throughput_chunk_size
  const reason = info.error?.message ?? info.data?.reason
  const steps = reason !== undefined
    ? <span className="danger">{reason}</span>
    : chunk === undefined
      ? 'In steps that depend on the entity.'
      : `In steps of ${chunk} tokens per second${info.data?.estimated ? ', which is estimated until the model was started once' : ''}.`
  if (hosted.size === UNITS) {
    return (
      <>
        <Field label="Model units" help={<>50 are one step. {steps}</>}>
          <input required type="number" min={1} max={12_800} value={hosted.units} onChange={(event) => onChange({ units: event.target.value })} />
        </Field>
        <div className="field">
          <Check label="Burst: up to twice as many tokens" checked={hosted.burst} onChange={(burst) => onChange({ burst })} />
          <small>While the launcher has room. Answers do not tell it, so say it again with each update.</small>
        </div>
      </>
    )
  }
  return <Tokens hosted={hosted} chunk={chunk} help={steps} onChange={onChange} />
}

/** *Up to* in steps of the chunk; *Modify* shows the least, which is 0 unless it is said. */
function Tokens({ hosted, chunk, help, onChange }: {
  hosted: HostedDraft
  chunk: number | undefined
  help: ReactNode
  onChange: (change: Partial<HostedDraft>) => void
}): ReactNode {
  const [modifies, setModifies] = useState(Number(hosted.least) > 0)
  if (chunk === undefined) {
    return <Field label="Up to" help={help}><select disabled><option>Name the entity and its version first</option></select></Field>
  }
  const most = Number(hosted.most)
  const least = Number(hosted.least)
  return (
    <>
      <div className="up-to">
        <Field label="Up to" help={help}>
          <select required value={hosted.most} onChange={(event) => onChange({ most: event.target.value, ...(least > Number(event.target.value) ? { least: event.target.value } : {}) })}>
            <option value="">Choose …</option>
            {stepsOf(chunk, most).map((value) => <option key={value} value={value}>{value} tokens/s</option>)}
          </select>
        </Field>
        {!modifies && <span className="at-least">min {least} <button type="button" className="small" onClick={() => setModifies(true)}>Modify</button></span>}
      </div>
      {modifies && (
        <Field label="At least" help="0: none is needed while nobody asks.">
          <select value={hosted.least || '0'} onChange={(event) => onChange({ least: event.target.value })}>
            <option value="0">0 tokens/s</option>
            {stepsOf(chunk, least).filter((value) => value <= most).map((value) => <option key={value} value={value}>{value} tokens/s</option>)}
          </select>
        </Field>
      )}
    </>
  )
}
