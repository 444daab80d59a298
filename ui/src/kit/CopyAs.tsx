import { type ReactNode, useState } from 'react'
import type { ApiRequest } from '../api'
import { Dialog } from '.'
import { lazily } from './Part'

const Snippets = lazily(() => import('./Snippets').then((part) => part.Snippets))

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
