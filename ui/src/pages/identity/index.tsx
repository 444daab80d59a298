import type { ReactNode } from 'react'
import { Head, Tabs } from '../../kit'
import { Groups } from './Groups'
import { ManagedTokens } from './ManagedTokens'
import { Principals } from './Principals'

const TABS: [string, string][] = [
  ['Users', '/identity/users'],
  ['Groups', '/identity/groups'],
  ['Service principals', '/identity/service-principals'],
  ['Tokens', '/identity/tokens'],
]

/** Users, groups, service principals and all tokens; for administrators. */
export function IdentityPage({ tab }: { tab: string }): ReactNode {
  const current = TABS.find(([, href]) => href.endsWith(`/${tab}`))?.[0] ?? 'Users'
  return (
    <>
      <Head title="Identity" />
      <Tabs tabs={TABS} current={current} />
      {current === 'Users' && <Principals key="users" kind="Users" />}
      {current === 'Groups' && <Groups />}
      {current === 'Service principals' && <Principals key="service-principals" kind="ServicePrincipals" />}
      {current === 'Tokens' && <ManagedTokens />}
    </>
  )
}
