import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { endpointPath, get } from '../../api'
import { count } from '../../format'
import { Failure, Loading, Table } from '../../kit'

interface LimitInUse {
  key: string
  principal?: string
  unit: string
  limit: number
  granted: number
  refused: number
}
interface LimitUse { window_end_time: number; limits?: LimitInUse[] }

const UNITS: Record<string, string> = { CALLS: 'Requests', TOKENS: 'Tokens' }

/** The limits of an endpoint, with what of each is used in this minute. */
export function LimitsInUse({ name, keys }: { name: string; keys: Record<string, string> }): ReactNode {
  const use = useQuery({
    queryKey: ['limits', name],
    queryFn: () => get<LimitUse>(endpointPath(name, '/limits')),
    refetchInterval: 5000,
  })
  if (use.isPending && !use.error) return <Loading />
  const own = ({ key, principal }: LimitInUse): boolean => key === 'user' && !principal
  return (
    <>
      <Failure error={use.error} />
      {use.data && (
        <Table label="Limits" rows={use.data.limits ?? []} id={({ key, principal, unit }) => `${key} ${principal ?? ''} ${unit}`} columns={[
          { title: 'For each', cell: ({ key }) => keys[key] ?? key },
          { title: 'Only', cell: ({ principal }) => principal || <span className="muted">all</span> },
          { title: 'Of', cell: ({ unit }) => UNITS[unit] ?? unit },
          { title: 'Taken this minute', number: true, cell: (limit) => <Taken limit={limit} whose={own(limit) ? 'by you' : ''} /> },
          { title: 'Refused this minute', number: true, cell: (limit) => <Refused limit={limit} whose={own(limit) ? 'of all users' : ''} /> },
        ]} />
      )}
    </>
  )
}

function Taken({ limit: { limit, granted }, whose }: { limit: LimitInUse; whose: string }): ReactNode {
  const text = `${count(granted)} of ${count(limit)}`
  return (
    <span className="taken">
      <span>{text}</span>
      <meter min={0} max={Math.max(1, limit)} high={0.9 * Math.max(1, limit)} optimum={0} value={granted} aria-label={`${text} taken`} />
      {whose && <small className="muted">{whose}</small>}
    </span>
  )
}

function Refused({ limit: { refused }, whose }: { limit: LimitInUse; whose: string }): ReactNode {
  return <><span className={refused > 0 ? 'danger strong' : undefined}>{count(refused)}</span>{whose && <small className="under-cell">{whose}</small>}</>
}
