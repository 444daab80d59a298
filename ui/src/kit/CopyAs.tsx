import { type ReactNode, useState } from 'react'
import { type ApiRequest, HOST } from '../api'
import { snippets } from '../snippets'
import { Copy, Dialog } from '.'

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

export function CopyAs({ request, label = 'Copy as' }: { request: ApiRequest; label?: string }): ReactNode {
  const [open, setOpen] = useState(false)
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>{label}</button>
      {open && <CopyDialog request={request} onClose={() => setOpen(false)} />}
    </>
  )
}

export function CopyDialog({ request, onClose }: { request: ApiRequest; onClose: () => void }): ReactNode {
  return (
    <Dialog title="Copy this request" wide onClose={onClose}>
      <p className="muted">The variable TOKEN holds an access token. {request.method} {request.path.split('?')[0]}</p>
      <Snippets request={request} />
    </Dialog>
  )
}
