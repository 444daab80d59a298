import type { Endpoint } from './api'

const UPDATES: Record<string, string> = {
  IN_PROGRESS: 'Updating',
  UPDATE_FAILED: 'Update failed',
  UPDATE_CANCELED: 'Update canceled',
}

/** The state of an endpoint in words, and how it is to look. Unknown values stay as they are. */
export function describeState(endpoint: Endpoint): { text: string; look: string } {
  const ready = endpoint.state?.ready ?? ''
  const update = endpoint.state?.config_update ?? ''
  const word = ready === 'READY' ? 'Ready' : ready === 'NOT_READY' ? 'Not Ready' : ready
  const more = update === 'NOT_UPDATING' || update === '' ? '' : ` (${UPDATES[update] ?? update})`
  const look =
    update === 'UPDATE_FAILED' ? 'danger'
    : update === 'IN_PROGRESS' ? 'warning'
    : ready === 'READY' ? 'success'
    : 'muted'
  return { text: word + more, look }
}
