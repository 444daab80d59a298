import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useEffect, useState } from 'react'
import { type ApiRequest, get, run, SESSIONS, signedOut } from '../api'
import { browserOf } from '../browser'
import { ago, when } from '../format'
import { keysAreOn, switchKeys } from '../keys'
import { Check, Confirm, Copy, Dialog, Empty, Failure, Field, Head, Table } from '../kit'
import { CopyAs } from '../kit/CopyAs'
import { useMe } from '../me'
import type { Me, TokenInfo } from '../types'

const DAY = 86_400
const LIFETIMES: [string, number][] = [['30 days', 30 * DAY], ['90 days', 90 * DAY], ['A year', 365 * DAY], ['Never', 0]]

export function AccountPage(): ReactNode {
  const me = useMe()
  const [creating, setCreating] = useState(false)
  const details = useQuery({ queryKey: ['me'], queryFn: () => get<Me>('/api/2.0/preview/scim/v2/Me') })
  return (
    <>
      <Head title="Account"><button type="button" className="primary" onClick={() => setCreating(true)}>Create access token</button></Head>
      <Failure error={details.error} />
      <dl className="facts">
        <div><dt>Name</dt><dd>{me.name}</dd></div>
        <div><dt>Identifier</dt><dd><code>{me.id}</code></dd></div>
        <div className="broad"><dt>Groups</dt><dd>{(details.data?.groups ?? []).map(({ value, display }) => <span className="chip" key={value}>{display}</span>)}</dd></div>
      </dl>
      <Tokens />
      <Sessions />
      <Keys />
      <p className="muted foot"><a href="./LICENSES.txt">Licences of what these pages are made of</a></p>
      {creating && <CreateToken onClose={() => setCreating(false)} />}
    </>
  )
}

function Keys(): ReactNode {
  const [on, setOn] = useState(keysAreOn)
  return (
    <section>
      <h2>Shortcuts</h2>
      <Check label="Single keys on the list of endpoints: / searches, c creates, j and k go to the next and the one before" checked={on} onChange={(next) => { switchKeys(next); setOn(next) }} />
    </section>
  )
}

function Tokens(): ReactNode {
  const queries = useQueryClient()
  const [revoking, setRevoking] = useState<TokenInfo | null>(null)
  const list = useQuery({ queryKey: ['tokens'], queryFn: () => get<{ token_infos?: TokenInfo[] }>('/api/2.0/token/list') })
  const revoke = useMutation({
    mutationFn: (id: string) => run(revocation(id)),
    onSuccess: () => { setRevoking(null); void queries.invalidateQueries({ queryKey: ['tokens'] }) },
  })
  const tokens = list.data?.token_infos ?? []
  return (
    <section>
      <h2>Access tokens</h2>
      <Failure error={list.error} />
      {list.data && tokens.length === 0 && <Empty title="You have no access tokens." />}
      {tokens.length > 0 && <TokenTable tokens={tokens} onRevoke={setRevoking} />}
      {revoking && (
        <Confirm title="Revoke this token?" action="Revoke" request={revocation(revoking.token_id)} error={revoke.error} busy={revoke.isPending} onConfirm={() => revoke.mutate(revoking.token_id)} onClose={() => setRevoking(null)}>
          <p>Whoever uses <strong>{revoking.comment || revoking.token_id}</strong> is refused from then on.</p>
        </Confirm>
      )}
    </section>
  )
}

const revocation = (token_id: string): ApiRequest => ({ method: 'POST', path: '/api/2.0/token/delete', body: { token_id } })

interface UiSession { session_id: string; created_time: number; expires_time: number; user_agent: string; current: boolean }

/** The browsers in which the caller is signed in. */
function Sessions(): ReactNode {
  const queries = useQueryClient()
  const list = useQuery({ queryKey: ['sessions'], queryFn: () => get<{ sessions?: UiSession[] }>(SESSIONS) })
  const end = useMutation({
    mutationFn: async (sessions: UiSession[]) => {
      // This one last: nothing can be asked without it.
      for (const { session_id: id } of [...sessions].sort((a, b) => Number(a.current) - Number(b.current))) {
        await run({ method: 'DELETE', path: `${SESSIONS}/${id}` })
      }
      if (sessions.some(({ current }) => current)) signedOut()
    },
    onSettled: () => queries.invalidateQueries({ queryKey: ['sessions'] }),
  })
  const sessions = list.data?.sessions ?? []
  return (
    <section>
      <div className="card-head">
        <h2>Sessions</h2>
        {sessions.length > 0 && <button type="button" disabled={end.isPending} onClick={() => end.mutate(sessions)}>Sign out everywhere</button>}
      </div>
      <Failure error={list.error ?? end.error} />
      {sessions.length > 0 && (
        <Table label="Sessions" rows={sessions} id={({ session_id }) => session_id} columns={[
          { title: 'Browser', cell: ({ user_agent: agent, current }) => <>{current && <strong>This one: </strong>}<span title={agent}>{browserOf(agent)}</span></> },
          { title: 'Began', cell: ({ created_time: time }) => <span title={when(time)}>{ago(time)}</span> },
          { title: 'Ends', cell: ({ expires_time: time }) => <span title={when(time)}>{ago(time)}</span> },
          { title: '', narrow: true, cell: (session) => !session.current && <button type="button" className="small" aria-label={`End the session that began ${ago(session.created_time)}`} disabled={end.isPending} onClick={() => end.mutate([session])}>End</button> },
        ]} />
      )}
    </section>
  )
}

export function TokenTable({ tokens, owners, onRevoke }: {
  tokens: TokenInfo[]
  owners?: boolean
  onRevoke: (token: TokenInfo) => void
}): ReactNode {
  return (
    <Table label="Access tokens" rows={tokens} id={({ token_id }) => token_id} columns={[
      { title: 'For', cell: ({ comment, token_id }) => <strong>{comment || token_id}</strong> },
      ...(owners ? [{ title: 'Owner', cell: ({ created_by_username: owner }: TokenInfo) => owner }] : []),
      { title: 'Created', cell: ({ creation_time: time }) => <span title={when(time)}>{ago(time)}</span> },
      { title: 'Expires', cell: ({ expiry_time: time }) => (time < 0 ? 'never' : <span title={when(time)}>{ago(time)}</span>) },
      // The deployment's own token is a setting of its operator.
      { title: '', narrow: true, cell: (token) => token.token_id !== 'admin' && <button type="button" className="small" aria-label={`Revoke ${token.comment || token.token_id}`} onClick={() => onRevoke(token)}>Revoke</button> },
    ]} />
  )
}

function CreateToken({ onClose }: { onClose: () => void }): ReactNode {
  const queries = useQueryClient()
  const [comment, setComment] = useState('')
  const [lifetime, setLifetime] = useState(90 * DAY)
  const request: ApiRequest = {
    method: 'POST', path: '/api/2.0/token/create', body: { comment, ...(lifetime === 0 ? {} : { lifetime_seconds: lifetime }) },
  }
  const create = useMutation({
    mutationFn: () => run<{ token_value: string }>(request),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['tokens'] }),
  })
  return <TokenDialog title="Create access token" value={create.data?.token_value} request={request} error={create.error} busy={create.isPending} onSubmit={() => create.mutate()} onClose={onClose}>
    <Field label="What it is for"><input required autoFocus autoComplete="off" maxLength={1024} value={comment} onChange={(event) => setComment(event.target.value)} /></Field>
    <Field label="Expires after"><select value={lifetime} onChange={(event) => setLifetime(Number(event.target.value))}>{LIFETIMES.map(([text, value]) => <option key={value} value={value}>{text}</option>)}</select></Field>
  </TokenDialog>
}

/** Makes a credential and shows its value, this once. */
export function TokenDialog({ title, value, request, error, busy, onSubmit, onClose, children }: {
  title: string
  value: string | undefined
  request: ApiRequest
  error: unknown
  busy: boolean
  onSubmit: () => void
  onClose: () => void
  children: ReactNode
}): ReactNode {
  return (
    <Dialog title={title} kept={value !== undefined} onClose={onClose}>
      {value === undefined
        ? (
          <form onSubmit={(event) => { event.preventDefault(); onSubmit() }}>
            <Failure error={error} />
            {children}
            <div className="dialog-foot">
              <CopyAs request={request} />
              <button type="button" onClick={onClose}>Cancel</button>
              <button type="submit" className="primary" disabled={busy}>Create</button>
            </div>
          </form>
        )
        : <Value value={value} onClose={onClose} />}
    </Dialog>
  )
}

/** A value that is shown this once: until it was copied, the page is not left without a question. */
function Value({ value, onClose }: { value: string; onClose: () => void }): ReactNode {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (copied) return
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault()
    window.addEventListener('beforeunload', ask)
    return () => window.removeEventListener('beforeunload', ask)
  }, [copied])
  return (
    <>
      <p><strong>Copy it now: it is not shown again.</strong></p>
      <p className="value"><code>{value}</code> <Copy text={value} onCopied={() => setCopied(true)} /></p>
      <div className="dialog-foot"><button type="button" className={copied ? 'primary' : undefined} onClick={onClose}>{copied ? 'Done' : 'Close without copying'}</button></div>
    </>
  )
}
