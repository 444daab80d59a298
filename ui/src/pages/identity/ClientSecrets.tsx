import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { type ApiRequest, get, run } from '../../api'
import { Confirm, Dialog, Empty, Failure, Loading, Table } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { TokenDialog } from '../Account'

interface ClientSecret { id: string; create_time?: string; status?: string }

/** The client secrets of a service principal, by which its programs get tokens. */
export function ClientSecrets({ id, name, onClose }: { id: string; name: string; onClose: () => void }): ReactNode {
  const queries = useQueryClient()
  const [going, setGoing] = useState<string | null>(null)
  const path = `/api/2.0/accounts/servicePrincipals/${encodeURIComponent(id)}/credentials/secrets`
  const list = useQuery({ queryKey: ['client-secrets', id], queryFn: () => get<{ secrets?: ClientSecret[] }>(path) })
  const settled = { onSettled: () => queries.invalidateQueries({ queryKey: ['client-secrets', id] }) }
  const creating: ApiRequest = { method: 'POST', path, body: {} }
  const create = useMutation({ mutationFn: () => run<{ secret: string }>(creating), ...settled })
  const deletion = (secret: string): ApiRequest => ({ method: 'DELETE', path: `${path}/${encodeURIComponent(secret)}` })
  const remove = useMutation({ mutationFn: (secret: string) => run(deletion(secret)), onSuccess: () => setGoing(null), ...settled })
  const secrets = list.data?.secrets ?? []
  if (create.data) {
    return <TokenDialog title={`Client secret of ${name}`} value={create.data.secret} request={creating} error={null} busy={false} onSubmit={() => undefined} onClose={() => create.reset()}>{null}</TokenDialog>
  }
  return (
    <Dialog title={`Client secrets of ${name}`} wide onClose={onClose}>
      <p className="muted">With its application id and one of these, a program gets tokens of an hour (OAuth). A token that lasts needs none.</p>
      <Failure error={list.error ?? create.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && secrets.length === 0 && <Empty title="It has no client secret." />}
      {secrets.length > 0 && (
        <Table label="Client secrets" rows={secrets} id={(secret) => secret.id} columns={[
          { title: 'Identifier', cell: (secret) => <code>{secret.id}</code> },
          { title: 'Created', cell: ({ create_time: time }) => (time ? new Date(time).toLocaleString() : '–') },
          { title: 'Status', cell: ({ status }) => status },
          { title: '', narrow: true, cell: (secret) => <button type="button" className="small" aria-label={`Delete client secret ${secret.id}`} onClick={() => setGoing(secret.id)}>Delete</button> },
        ]} />
      )}
      <div className="dialog-foot">
        <CopyAs request={creating} />
        <button type="button" className="primary" disabled={create.isPending} onClick={() => create.mutate()}>Create client secret</button>
      </div>
      {going !== null && (
        <Confirm title="Delete this client secret?" action="Delete" request={deletion(going)} error={remove.error} busy={remove.isPending} onConfirm={() => remove.mutate(going)} onClose={() => setGoing(null)}>
          <p>Programs that use it get no token any more, and the tokens that they got by it are void.</p>
        </Confirm>
      )}
    </Dialog>
  )
}
