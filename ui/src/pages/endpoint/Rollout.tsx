import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { endpointPath, get } from '../../api'
import { duration, when } from '../../format'
import { Empty, Failure, Loading, Table } from '../../kit'
import { CopyAs } from '../../kit/CopyAs'
import { Histogram } from '../../kit/Histogram'
import { STAGES } from '../../kit/Progress'
import { Waterfall } from '../../kit/Waterfall'
import { describeDeployment, lookOfOutcome, lookOfWorker } from '../../state'
import type { Rollout, RolloutEntity } from '../../types'
import { binsOf, has, MOST_BARS, phasesOf, slowestFirst, spanOf, spread, stepsOf, taken } from '../../waterfall'

const GOING_MS = 500
// Those that were slowest; more of them are a list that nobody reads.
const SHOWN = 20

/** How one version came to serve: its steps, and what each worker and each hosted model took. */
export function RolloutPage({ name, version }: { name: string; version: number | undefined }): ReactNode {
  const path = endpointPath(name, `/config-versions/${version}/rollout`)
  const rollout = useQuery({
    queryKey: ['endpoint', name, 'rollout', version],
    queryFn: () => get<Rollout>(path),
    enabled: version !== undefined,
    refetchInterval: ({ state }) => (state.error === null && state.data?.phase !== 'ENDED' ? GOING_MS : false),
  })
  if (version === undefined) return <Empty title="This endpoint has had no configuration yet." />
  return (
    <section>
      <Failure error={rollout.error} />
      {rollout.isPending && !rollout.error && <Loading />}
      {rollout.data && (
        <>
          <Summary name={name} rollout={rollout.data} path={path} />
          <Entities rollout={rollout.data} />
          <Workers rollout={rollout.data} />
        </>
      )}
    </section>
  )
}

const PHASES: Record<string, string> = { PREPARING: 'Preparing', ACTIVATING: 'Activating' }

function Summary({ name, rollout, path }: { name: string; rollout: Rollout; path: string }): ReactNode {
  const { phase, outcome, outcome_message: reason, deadline_time: deadline, config_version: version } = rollout
  const workers = rollout.workers ?? []
  const going = phase !== 'ENDED'
  const active = has('ACTIVE', workers)
  const end = rollout.end_time ?? (going ? Date.now() : undefined)
  return (
    <>
      <div className="card-head">
        <h2>Version {version} <span className={`state ${lookOfOutcome(outcome)}`} role="status">{going ? PHASES[phase] ?? phase : outcome}</span></h2>
        <div className="row-actions">
          {version > 1 && <Link className="button" href={`/endpoints/${encodeURIComponent(name)}/rollout/${version - 1}`}>Version {version - 1}</Link>}
          <CopyAs request={{ method: 'GET', path }} />
        </div>
      </div>
      {reason && <div className="banner danger" role="alert"><strong>{outcome}</strong> {reason}</div>}
      <dl className="numbers">
        <div><dt>Began</dt><dd><small>{when(rollout.start_time)}{rollout.creator ? ` by ${rollout.creator}` : ''}</small></dd></div>
        <div><dt>Prepared</dt><dd>{has('PREPARED', workers) + active} <small>of {workers.length}</small></dd></div>
        <div><dt>Active</dt><dd>{active} <small>of {workers.length}</small></dd></div>
        <div><dt>{going ? 'So far' : 'In all'}</dt><dd>{duration(end === undefined ? undefined : end - rollout.start_time)}</dd></div>
        {deadline !== undefined && <div><dt>Given up in</dt><dd>{duration(Math.max(0, deadline - Date.now()))}</dd></div>}
      </dl>
    </>
  )
}

function Entities({ rollout }: { rollout: Rollout }): ReactNode {
  const entities = rollout.entities ?? []
  if (entities.length === 0) return null
  const start = rollout.start_time
  const end = rollout.prepared_time ?? rollout.end_time ?? Date.now()
  return (
    <>
      <h2>Hosted models</h2>
      <Table label="Hosted models" rows={entities} id={(entity) => entity.served_entity_name} columns={[
        { title: 'Entity', cell: (entity) => <strong>{entity.served_entity_name}</strong> },
        { title: 'State', cell: (entity) => <Deployed entity={entity} /> },
        {
          title: `0 to ${duration(end - start)}`,
          cell: ({ reused, steps = [] }) => reused
            ? <span className="muted">It ran already.</span>
            : <Waterfall label={`${steps.length} stages`} spans={stepsOf(steps, start, end)} />,
        },
        { title: 'Stages', cell: ({ steps = [] }) => steps.map((step) => (
          <span className="stage" key={step.start_time + step.stage}>
            <span className={`dot ${step.stage.toLowerCase()}`} />{STAGES[step.stage] ?? step.stage} {duration((step.end_time ?? Date.now()) - step.start_time)}
          </span>
        )) },
      ]} />
    </>
  )
}

function Deployed({ entity }: { entity: RolloutEntity }): ReactNode {
  const { text, look } = describeDeployment(entity.deployment)
  return (
    <>
      <span className={`state ${look}`}>{text}</span>
      {entity.message && <small className="under-cell">{entity.message}</small>}
    </>
  )
}

function Workers({ rollout }: { rollout: Rollout }): ReactNode {
  const [all, setAll] = useState(false)
  const workers = slowestFirst(rollout.workers ?? [])
  const many = workers.length > MOST_BARS
  const { prepare, activate } = phasesOf(rollout, Date.now())
  const ended = rollout.phase === 'ENDED'
  if (workers.length === 0) {
    return <Empty title={ended ? 'What the workers took is not known, or there was none.' : 'No worker is connected yet.'} />
  }
  const half = (took: { median: number }): string => (workers.length > 1 ? `, half of them within ${duration(took.median)}` : '')
  const prepared = spread(prepare, workers.map(({ prepared_time: time }) => time))
  const activated = spread(activate, workers.map(({ active_time: time }) => time))
  return (
    <>
      <h2>Workers</h2>
      <p className="muted">
        {prepared && `Prepared within ${duration(prepared.most)}${half(prepared)}. `}
        {activated && `Active within another ${duration(activated.most)}${half(activated)}.`}
      </p>
      {many && (
        <>
          <div className="chart-grid">
            <Histogram label="Workers by time to prepare" bins={binsOf(prepare, workers.map(({ prepared_time: time }) => time))} />
            {activate && <Histogram label="Workers by time to activate" bins={binsOf(activate, workers.map(({ active_time: time }) => time))} />}
          </div>
          <h3>{all ? `All ${workers.length}, the slowest first` : `The slowest ${SHOWN} of ${workers.length}`}</h3>
        </>
      )}
      <Table label="Workers" rows={all ? workers : workers.slice(0, SHOWN)} id={(worker) => worker.worker_id} columns={[
        { title: 'Worker', cell: (worker) => <><strong>{worker.worker_id}</strong>{worker.message && <small className="under-cell">{worker.message}</small>}</> },
        { title: 'State', cell: ({ state }) => <span className={`state ${lookOfWorker(state)}`}>{state}</span> },
        { title: `Prepare, 0 to ${duration(prepare.length)}`, cell: (worker) => <Waterfall label="Prepare" spans={spanOf(prepare, worker.prepared_time, ended)} /> },
        { title: 'Took', number: true, cell: (worker) => duration(taken(prepare, worker.prepared_time)) },
        ...(activate === null ? [] : [
          { title: `Activate, 0 to ${duration(activate.length)}`, cell: (worker: typeof workers[number]) => <Waterfall label="Activate" spans={spanOf(activate, worker.active_time, ended)} /> },
          { title: 'Took then', number: true, cell: (worker: typeof workers[number]) => duration(taken(activate, worker.active_time)) },
        ]),
        { title: 'Release', cell: ({ build }) => build },
        { title: 'Control plane', cell: (worker) => <code>{worker.replica_id.slice(0, 8)}</code> },
      ]} />
      {workers.length > SHOWN && !all && <p className="foot"><button type="button" onClick={() => setAll(true)}>Show all {workers.length}</button></p>}
    </>
  )
}
