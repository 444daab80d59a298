import type { ReactNode } from 'react'
import type { Endpoint } from '../../../types'
import { Policies } from './Policies'
import { Settings } from './Settings'
import { TryBox } from './TryBox'

/** What is looked for in requests and answers, and a box to try it. */
export function Guardrails({ endpoint, manages }: { endpoint: Endpoint; manages: boolean }): ReactNode {
  return (
    <>
      <Settings endpoint={endpoint} manages={manages} />
      <Policies name={endpoint.name} manages={manages} />
      <TryBox endpoint={endpoint} />
    </>
  )
}
