import { useMutation, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { useLocation } from 'wouter'
import { createEndpoint } from '../api'
import { Failure, Field } from '../kit'
import { createBody, PROVIDERS } from '../providers'

const FIRST = 'openai'
const pretty = (choice: string): string => JSON.stringify(PROVIDERS[choice]?.template ?? {}, null, 2)

export function CreatePage(): ReactNode {
  const [, navigate] = useLocation()
  const queries = useQueryClient()
  const [name, setName] = useState('')
  const [choice, setChoice] = useState(FIRST)
  const [model, setModel] = useState('')
  const [task, setTask] = useState('llm/v1/chat')
  const [config, setConfig] = useState(pretty(FIRST))
  const choose = (next: string): void => {
    setChoice(next)
    setConfig(pretty(next))
    const tasks = PROVIDERS[next]?.tasks ?? []
    if (!tasks.includes(task)) setTask(tasks[0] ?? '')
  }
  const create = useMutation({
    mutationFn: async () => {
      let parsed: unknown
      try {
        parsed = JSON.parse(config)
      } catch (error) {
        throw new Error(`The provider's configuration is no JSON: ${String(error)}`)
      }
      return createEndpoint(createBody(name, choice, model, task, parsed))
    },
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ['endpoints'] })
      navigate(`/endpoints/${encodeURIComponent(name)}`)
    },
  })
  return (
    <>
      <h1>Create serving endpoint</h1>
      <Failure error={create.error} />
      <form className="form" onSubmit={(event) => { event.preventDefault(); create.mutate() }}>
        <Field label="Name"><input required maxLength={63} value={name} onChange={(event) => setName(event.target.value)} /></Field>
        <Field label="Provider">
          <select value={choice} onChange={(event) => choose(event.target.value)}>
            {Object.keys(PROVIDERS).map((key) => <option key={key}>{key}</option>)}
          </select>
        </Field>
        <Field label="External model name"><input required value={model} onChange={(event) => setModel(event.target.value)} /></Field>
        <Field label="Task">
          <select value={task} onChange={(event) => setTask(event.target.value)}>
            {(PROVIDERS[choice]?.tasks ?? []).map((key) => <option key={key}>{key}</option>)}
          </select>
        </Field>
        <Field label="Provider configuration" help="Replace the words in capitals. A credential is a reference to a secret, {{secrets/SCOPE/KEY}}.">
          <textarea rows={9} spellCheck={false} value={config} onChange={(event) => setConfig(event.target.value)} />
        </Field>
        <button className="primary" type="submit" disabled={create.isPending}>Create</button>
      </form>
    </>
  )
}
