import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { type ApiRequest, run } from '../api'
import { behindOf, type Fleet, WORKERS } from '../fleet'
import { ago } from '../format'
import { Empty, Failure, Head, Loading, Table } from '../kit'
import { CopyAs } from '../kit/CopyAs'
import type { Worker } from '../types'

const REQUEST: ApiRequest = { method: 'GET', path: WORKERS }

/** Which workers are connected, and how far each has followed. */
export function WorkersPage(): ReactNode {
  const list = useQuery({
    queryKey: ['workers'],
    queryFn: () => run<Fleet>(REQUEST),
    refetchInterval: 2000,
  })
  const workers = list.data?.workers ?? []
  const behind = workers.filter((worker) => !worker.up_to_date).length
  const newest = list.data?.newest_revision ?? '0'
  return (
    <>
      <Head title="Workers"><CopyAs request={REQUEST} /></Head>
      <Failure error={list.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && (
        <dl className="numbers">
          <div><dt>Connected</dt><dd>{workers.length}</dd></div>
          <div><dt>Behind</dt><dd>{behind}</dd></div>
          <div><dt>Newest revision</dt><dd>{newest}</dd></div>
        </dl>
      )}
      {list.data && workers.length === 0 && <Empty title="No worker is connected, so that no query is answered." />}
      {workers.length > 0 && (
        <Table label="Workers" rows={workers} id={(worker) => worker.worker_id} columns={[
          { title: 'Worker', cell: (worker) => <strong>{worker.worker_id}</strong> },
          { title: 'State', cell: (worker) => <Follows worker={worker} newest={newest} /> },
          { title: 'Revision', number: true, cell: (worker) => worker.applied_revision },
          { title: 'Release', cell: ({ build }) => build },
          { title: 'Control plane', cell: (worker) => <code>{worker.replica_id.slice(0, 8)}</code> },
          { title: 'Connected', cell: (worker) => ago(worker.connected_time) },
        ]} />
      )}
    </>
  )
}

function Follows({ worker, newest }: { worker: Worker; newest: string }): ReactNode {
  if (worker.up_to_date) return <span className="state success">Up to date</span>
  return <span className="state warning">{behindOf(worker, newest)}</span>
}
