import { type ReactNode, useState } from 'react'
import { type ApiRequest, HOST } from '../api'
import { snippets } from '../snippets'
import { Copy } from '.'

/** The request in the words of each client, one of which is shown. */
export function Snippets({ request }: { request: ApiRequest }): ReactNode {
  const [chosen, setChosen] = useState('curl')
  const all = snippets(request, HOST)
  const shown = all.find(({ name }) => name === chosen) ?? all[0]
  return (
    <div className="snippets">
      <div className="segments" role="group" aria-label="Client">
        {all.map(({ name }) => (
          <button type="button" key={name} aria-pressed={name === shown?.name} onClick={() => setChosen(name)}>{name}</button>
        ))}
        <Copy text={shown?.text ?? ''} />
      </div>
      <pre tabIndex={0} aria-label={`${shown?.name} snippet`}>{shown?.text}</pre>
    </div>
  )
}

