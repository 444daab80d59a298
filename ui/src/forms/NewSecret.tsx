import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useId, useState } from 'react'
import { type ApiRequest, get, run } from '../api'
import { Dialog, Failure, Field } from '../kit'
import { CopyAs } from '../kit/CopyAs'

/** Stores a secret, in a scope that is made for it if need be. */
export function NewSecret({ scope: given = '', onClose, onCreated }: {
  scope?: string
  onClose: () => void
  onCreated: (reference: string) => void
}): ReactNode {
  const queries = useQueryClient()
  const list = useId()
  const [scope, setScope] = useState(given)
  const [key, setKey] = useState('')
  const [value, setValue] = useState('')
  const scopes = useQuery({
    queryKey: ['scopes'],
    queryFn: () => get<{ scopes?: { name: string }[] }>('/api/2.0/secrets/scopes/list'),
  })
  const isNew = scopes.data !== undefined && !scopes.data.scopes?.some(({ name }) => name === scope)
  const scoping: ApiRequest = { method: 'POST', path: '/api/2.0/secrets/scopes/create', body: { scope } }
  const putting: ApiRequest = { method: 'POST', path: '/api/2.0/secrets/put', body: { scope, key, string_value: value } }
  const create = useMutation({
    mutationFn: async () => {
      if (isNew) await run(scoping)
      await run(putting)
    },
    onSuccess: () => {
      onCreated(`${scope}/${key}`)
      onClose()
    },
    onSettled: () => {
      void queries.invalidateQueries({ queryKey: ['scopes'] })
      void queries.invalidateQueries({ queryKey: ['keys', scope] })
    },
  })
  return (
    <Dialog title="Store a secret" onClose={onClose}>
      <form onSubmit={(event) => { event.preventDefault(); create.mutate() }}>
        <Failure error={create.error} />
        <Field label="Scope" help="One that is not there yet is created.">
          <input required list={list} autoComplete="off" disabled={given !== ''} value={scope} onChange={(event) => setScope(event.target.value)} />
        </Field>
        <datalist id={list}>{(scopes.data?.scopes ?? []).map(({ name }) => <option key={name} value={name} />)}</datalist>
        <Field label="Key" help="Letters, digits, dots, dashes and underscores. A secret of that key is overwritten.">
          <input required autoComplete="off" value={key} onChange={(event) => setKey(event.target.value)} />
        </Field>
        <Field label="Value" help="Write-only: nobody can read it back.">
          <input required type="password" autoComplete="off" value={value} onChange={(event) => setValue(event.target.value)} />
        </Field>
        <div className="dialog-foot">
          {isNew && scope !== '' && <CopyAs request={scoping} label="Copy the new scope as" />}
          <CopyAs request={putting} />
          <button type="button" onClick={onClose}>Cancel</button>
          <button type="submit" className="primary" disabled={create.isPending}>Store</button>
        </div>
      </form>
    </Dialog>
  )
}
