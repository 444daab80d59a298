import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { Link } from 'wouter'
import { whole } from '../../address'
import { endpointPath, get, query, run } from '../../api'
import { ago, when } from '../../format'
import { shareOf } from '../../entities'
import { Dialog, Empty, Failure, Loading, NEEDS_MANAGE, Table } from '../../kit'
import { Differences } from '../../kit/Differences'
import { useAddress } from '../../kit/useAddress'
import { lookOfOutcome } from '../../state'
import type { ConfigVersion, Difference } from '../../types'

// The versions that are compared.
const COMPARED = { a: whole, b: whole }

export function Versions({ name, manages, current }: {
  name: string
  manages: boolean
  current: number | undefined
}): ReactNode {
  const [{ a, b }, change] = useAddress(COMPARED)
  const list = useInfiniteQuery({
    queryKey: ['endpoint', name, 'versions', current],
    queryFn: ({ pageParam }) => get<{ config_versions?: ConfigVersion[]; next_page_token?: string }>(
      endpointPath(name, `/config-versions${query({ max_results: 50, page_token: pageParam })}`)),
    initialPageParam: '',
    getNextPageParam: (page) => page.next_page_token,
  })
  const versions = list.data?.pages.flatMap((page) => page.config_versions ?? []) ?? []
  return (
    <section>
      <Failure error={list.error} />
      {list.isPending && !list.error && <Loading />}
      {list.data && versions.length === 0 && <Empty title="This endpoint has had no configuration yet." />}
      {versions.length > 0 && (
        <Table label="Versions" rows={versions} id={({ config_version }) => config_version} columns={[
          { title: 'Compare', narrow: true, cell: ({ config_version: version }) => (
            <input type="checkbox" aria-label={`Choose version ${version} to compare`} checked={version === a || version === b}
              onChange={({ target }) => change(target.checked ? a === 0 ? { a: version } : { b: version } : { a: 0, b: 0 })} />
          ) },
          { title: 'Version', cell: ({ config_version }) => <Link className="strong" title="How it was rolled out" href={`/endpoints/${encodeURIComponent(name)}/rollout/${config_version}`}>{config_version}</Link> },
          { title: 'Outcome', cell: ({ outcome, outcome_message }) => <><span className={`state ${lookOfOutcome(outcome)}`}>{outcome}</span>{outcome_message && <small className="under-cell">{outcome_message}</small>}</> },
          { title: 'Traffic', cell: ({ config }) => (config?.served_entities ?? []).map((entity) => <span className="chip" key={entity.name}>{entity.name} {shareOf(config, entity.name)} %</span>) },
          { title: 'Creator', cell: ({ creator }) => creator },
          { title: 'Created', cell: ({ creation_timestamp: time }) => <span title={when(time)}>{ago(time)}</span> },
          {
            title: '',
            narrow: true,
            cell: ({ config_version: version, outcome }) => version !== current && current !== undefined && (
              <span className="row-actions">
                <button type="button" className="small" aria-label={`Compare version ${version} with ${current}`} onClick={() => change({ a: current, b: version })}>With v{current}</button>
                {outcome === 'SUPERSEDED' && <button type="button" className="small" disabled={!manages} title={manages ? undefined : NEEDS_MANAGE} onClick={() => change({ a: current, b: version })}>Back to v{version}</button>}
              </span>
            ),
          },
        ]} />
      )}
      {list.hasNextPage && <button type="button" disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>Show older</button>}
      {a !== 0 && b !== 0 && <Compare key={`${a} ${b}`} name={name} manages={manages} current={current} from={a} to={b} onClose={() => change({ a: 0, b: 0 })} />}
    </section>
  )
}

export function Compare({ name, manages, current, from, to, onClose }: {
  name: string
  manages: boolean
  current: number | undefined
  from: number
  to: number
  onClose: () => void
}): ReactNode {
  const queries = useQueryClient()
  const compared = useQuery({
    queryKey: ['endpoint', name, 'compare', from, to],
    queryFn: () => get<{ differences?: Difference[] }>(endpointPath(name, `/config-versions/${from}:compare?to_version=${to}`)),
  })
  const rollback = useMutation({
    mutationFn: () => run({ method: 'POST', path: endpointPath(name, '/config:rollback'), body: { config_version: to } }),
    onSuccess: () => { void queries.invalidateQueries({ queryKey: ['endpoint', name] }); onClose() },
  })
  return (
    <Dialog title={`From version ${from} to ${to}`} wide onClose={onClose}>
      <Failure error={compared.error ?? rollback.error} />
      {compared.data && <Differences differences={compared.data.differences ?? []} />}
      {to !== current && compared.data && <p className="muted">Rolling back makes a new version of {to}. Secrets that are served now need nothing; for others you need READ, and they must still be there.</p>}
      <div className="dialog-foot">
        <button type="button" onClick={onClose}>Close</button>
        {to !== current && <button className="primary" type="button" title={manages ? undefined : NEEDS_MANAGE} disabled={!manages || rollback.isPending || !compared.data} onClick={() => rollback.mutate()}>Roll back to {to}</button>}
      </div>
    </Dialog>
  )
}
