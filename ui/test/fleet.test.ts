import { expect, test } from 'vitest'
import { fleetOf } from '../src/fleet'
import type { Worker } from '../src/types'

const worker = (id: string, applied: string): Worker =>
  ({ worker_id: id, build: '1', replica_id: 'r', applied_revision: applied, up_to_date: applied === '4711', connected_time: 1 })

test('the slowest worker says how the deployment is', () => {
  const all = { newest_revision: '4711', workers: [worker('a', '4711'), worker('b', '4711')] }
  expect(fleetOf(all)).toMatchObject({ text: '2/2 workers, rev 4711', look: 'success' })
  const late = { ...all, workers: [worker('a', '4711'), worker('b', '4710'), worker('c', '999')] }
  expect(fleetOf(late)).toEqual({ text: '1/3 workers, rev 4711', look: 'warning', why: 'The last one, c, is 3712 revisions behind.' })
  expect(fleetOf({ newest_revision: '1' })).toMatchObject({ look: 'danger' })
})
