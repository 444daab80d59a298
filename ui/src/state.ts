import type { Endpoint } from './types'

const UPDATES: Record<string, string> = {
  IN_PROGRESS: 'Updating',
  UPDATE_FAILED: 'Update failed',
  UPDATE_CANCELED: 'Update canceled',
}

/** The state of an endpoint in words, how it is to look, and why it is not ready. Unknown values stay as they are. */
export function describeState(endpoint: Endpoint): { text: string; look: string; why: string } {
  const ready = endpoint.state?.ready ?? ''
  const update = endpoint.state?.config_update ?? ''
  const word = ready === 'READY' ? 'Ready' : ready === 'NOT_READY' ? 'Not Ready' : ready
  const more = update === 'NOT_UPDATING' || update === '' ? '' : ` (${UPDATES[update] ?? update})`
  const look =
    update === 'UPDATE_FAILED' ? 'danger'
    : update === 'IN_PROGRESS' ? 'warning'
    : ready === 'READY' ? 'success'
    : 'muted'
  return { text: word + more, look, why: ready === 'NOT_READY' && more === '' ? whyNot(endpoint) : '' }
}

function whyNot({ config }: Endpoint): string {
  const entities = config?.served_entities ?? []
  if (entities.length === 0) return 'no configuration yet'
  const stopped = entities.every(({ state }) => state?.deployment === 'DEPLOYMENT_STOPPED')
  return stopped ? 'stopped' : 'nothing serves it'
}

const DEPLOYMENTS: Record<string, [string, string]> = {
  DEPLOYMENT_CREATING: ['Creating', 'warning'],
  DEPLOYMENT_READY: ['Ready', 'success'],
  DEPLOYMENT_RECOVERING: ['Recovering', 'warning'],
  DEPLOYMENT_FAILED: ['Failed', 'danger'],
  DEPLOYMENT_ABORTED: ['Aborted', 'danger'],
  DEPLOYMENT_STOPPED: ['Stopped', 'muted'],
}

/** The same for the deployment of one served entity. */
export function describeDeployment(deployment: string | undefined): { text: string; look: string } {
  const [text, look] = DEPLOYMENTS[deployment ?? ''] ?? [deployment ?? '', 'muted']
  return { text, look }
}

const OUTCOMES: Record<string, string> = {
  ACTIVE: 'success',
  FAILED: 'danger',
  PENDING: 'warning',
}

export function lookOfOutcome(outcome: string): string {
  return OUTCOMES[outcome] ?? 'muted'
}

const WORKERS: Record<string, string> = {
  ACTIVE: 'success',
  PREPARED: 'success',
  WAITING: 'warning',
  REFUSED: 'danger',
  DROPPED: 'danger',
}

export function lookOfWorker(state: string): string {
  return WORKERS[state] ?? 'muted'
}
