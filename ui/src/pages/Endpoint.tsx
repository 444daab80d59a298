import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { useLocation } from 'wouter'
import { call, endpointPath, getEndpoint } from '../api'
import { Failure, Field, State } from '../kit'
import { Query } from './Query'
import { Split } from './Split'
import { Versions } from './Versions'

const TABS = ['Overview', 'Versions', 'Query'] as const

export function EndpointPage({ name }: { name: string }): ReactNode {
  const [, navigate] = useLocation()
  const queries = useQueryClient()
  const [tab, setTab] = useState<(typeof TABS)[number]>('Overview')
  const [typed, setTyped] = useState<string | null>(null)
  const endpoint = useQuery({ queryKey: ['endpoint', name], queryFn: () => getEndpoint(name), refetchInterval: 3000 })
  const refresh = (): void => void queries.invalidateQueries({ queryKey: ['endpoint', name] })
  const cancel = useMutation({ mutationFn: () => call('POST', endpointPath(name, '/config:cancel'), {}), onSettled: refresh })
  const remove = useMutation({
    mutationFn: () => call('DELETE', endpointPath(name)),
    onSuccess: () => {
      void queries.invalidateQueries({ queryKey: ['endpoints'] })
      navigate('/endpoints')
    },
  })
  const data = endpoint.data
  if (data === undefined) {
    return endpoint.error ? <Failure error={endpoint.error} /> : <p role="status">Loading {name} …</p>
  }
  const update = data.state?.config_update
  const manages = data.permission_level === undefined || data.permission_level === 'CAN_MANAGE'
  const why = manages ? undefined : 'It takes CAN_MANAGE'
  return (
    <>
      <div className="head">
        <h1>{name}</h1> <span role="status"><State endpoint={data} /></span>
        <span className="right">
          {update === 'IN_PROGRESS' && (
            <button type="button" disabled={!manages || cancel.isPending} title={why} onClick={() => cancel.mutate()}>Cancel update</button>
          )}
          <button type="button" disabled={!manages} title={why} onClick={() => setTyped('')}>Delete</button>
        </span>
      </div>
      <Failure error={endpoint.error ?? cancel.error ?? remove.error} />
      {update === 'UPDATE_FAILED' && (
        <div className="banner danger" role="alert"><strong>Update failed</strong> {data.state?.config_update_message}</div>
      )}
      {typed !== null && (
        <form className="banner" onSubmit={(event) => { event.preventDefault(); remove.mutate() }}>
          <Field label={`Type ${name} to delete it for all who query it`}><input autoFocus value={typed} onChange={(event) => setTyped(event.target.value)} /></Field>
          <button type="submit" disabled={typed !== name || remove.isPending}>Delete endpoint</button>
          <button type="button" onClick={() => setTyped(null)}>Keep</button>
        </form>
      )}
      <nav className="tabs" aria-label="Endpoint">
        {TABS.map((item) => (
          <button type="button" key={item} aria-current={item === tab ? 'page' : undefined} onClick={() => setTab(item)}>{item}</button>
        ))}
      </nav>
      {tab === 'Overview' && <Split endpoint={data} manages={manages} onApplied={refresh} />}
      {tab === 'Versions' && <Versions name={name} manages={manages} current={data.config?.config_version} />}
      {tab === 'Query' && <Query endpoint={data} />}
    </>
  )
}
