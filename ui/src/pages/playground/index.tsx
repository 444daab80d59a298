import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link, useLocation } from 'wouter'
import { endpointPath, get } from '../../api'
import { Empty, Failure, Field, Head, Loading, State } from '../../kit'
import type { Endpoint } from '../../types'
import { Chat } from './Chat'
import { comparison } from './Compare'
import { askable } from './names'
import { Raw } from './Raw'

/** Asks an endpoint by hand. */
export function PlaygroundPage({ name }: { name: string }): ReactNode {
  const [, navigate] = useLocation()
  const list = useQuery(askable)
  const names = (list.data ?? []).map((endpoint) => endpoint.name)
  const chosen = name || names[0] || ''
  const endpoint = useQuery({
    queryKey: ['endpoint', chosen],
    queryFn: () => get<Endpoint>(endpointPath(chosen)),
    enabled: chosen !== '',
    // It is asked as soon as it is ready.
    refetchInterval: ({ state }) => (state.data?.state?.ready === 'READY' ? false : 1000),
  })
  return (
    <>
      <Head title="Playground" after={endpoint.data && <State endpoint={endpoint.data} />}>
        {endpoint.data?.task === 'llm/v1/chat' && <Link className="button" href={comparison(endpoint.data)}>Compare</Link>}
        {chosen !== '' && <Link className="button" href={`/endpoints/${encodeURIComponent(chosen)}`}>Endpoint</Link>}
      </Head>
      <Failure error={list.error ?? endpoint.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && chosen === '' && <Empty title="There is no endpoint that you may ask."><Link className="button primary" href="/endpoints/new">Create serving endpoint</Link></Empty>}
      {chosen !== '' && list.data && (
        <Field label="Endpoint" className="short">
          <select value={chosen} onChange={(event) => navigate(`/playground/${encodeURIComponent(event.target.value)}`)}>
            {(names.includes(chosen) ? names : [chosen, ...names]).map((item) => <option key={item}>{item}</option>)}
          </select>
        </Field>
      )}
      {endpoint.data && <Ways key={endpoint.data.name} endpoint={endpoint.data} />}
    </>
  )
}

function Ways({ endpoint }: { endpoint: Endpoint }): ReactNode {
  const chats = endpoint.task === 'llm/v1/chat'
  const [way, setWay] = useState(chats ? 'chat' : 'json')
  const [entity, setEntity] = useState('')
  const entities = (endpoint.config?.served_entities ?? []).map((item) => item.name)
  return (
    <>
      {(chats || entities.length > 1) && <div className="filters">
        {chats && (
          <div className="segments" role="group" aria-label="Form of the query">
            <button type="button" aria-pressed={way === 'chat'} onClick={() => setWay('chat')}>Chat</button>
            <button type="button" aria-pressed={way === 'json'} onClick={() => setWay('json')}>JSON</button>
          </div>
        )}
        {entities.length > 1 && (
          <select aria-label="Answered by" value={entity} onChange={(event) => setEntity(event.target.value)}>
            <option value="">Answered by: the traffic split</option>
            {entities.map((item) => <option key={item} value={item}>Answered by: {item}</option>)}
          </select>
        )}
      </div>}
      {way === 'chat' ? <Chat name={endpoint.name} entity={entity} ready={endpoint.state?.ready === 'READY'} /> : <Raw endpoint={endpoint} entity={entity} />}
    </>
  )
}
