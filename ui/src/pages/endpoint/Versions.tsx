import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import { Link } from 'wouter'
import { endpointPath, get, query, run } from '../../api'
import { ago, when } from '../../format'
import { shareOf } from '../../forms/draft'
import { Dialog, Empty, Failure, Loading, NEEDS_MANAGE, Table } from '../../kit'
import { Differences } from '../../kit/Differences'
import { lookOfOutcome } from '../../state'
import type { ConfigVersion, Difference } from '../../types'

export function Versions({ name, manages, current }: {
  name: string
  manages: boolean
  current: number | undefined
}): ReactNode {
  const [chosen, setChosen] = useState<number | null>(null)
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
                <button type="button" className="small" aria-label={`Compare version ${version} with ${current}`} onClick={() => setChosen(version)}>Compare</button>
                {manages && outcome === 'SUPERSEDED' && <button type="button" className="small" onClick={() => setChosen(version)}>Back to v{version}</button>}
              </span>
            ),
          },
        ]} />
      )}
      {list.hasNextPage && <button type="button" disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>Show older</button>}
      {chosen !== null && current !== undefined && <Compare name={name} manages={manages} from={current} to={chosen} onClose={() => setChosen(null)} />}
    </section>
  )
}

export function Compare({ name, manages, from, to, onClose }: {
  name: string
  manages: boolean
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
      <div className="dialog-foot">
        <button type="button" onClick={onClose}>Close</button>
        <button className="primary" type="button" title={manages ? undefined : NEEDS_MANAGE} disabled={!manages || rollback.isPending || !compared.data} onClick={() => rollback.mutate()}>Roll back to {to}</button>
      </div>
    </Dialog>
  )
}
