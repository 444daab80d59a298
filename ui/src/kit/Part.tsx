import { type ComponentType, type ReactNode, useEffect, useState } from 'react'
import { ApiError } from '../api'
import { load, Missing, type Surroundings } from '../loading'
import { Failure, Loading } from '.'

const AGAIN_MS = 3000
const BROWSER: Surroundings = {
  isThere: () => fetch(document.baseURI, { cache: 'no-store' }).then(({ ok }) => ok, () => false),
  kept: sessionStorage,
  reload: () => location.reload(),
  pause: () => new Promise((done) => setTimeout(done, AGAIN_MS)),
}
const AWAY = new ApiError(0, 'UNREACHABLE', 'The deployment cannot be reached. It is tried again every few seconds.')
const UPGRADED = new ApiError(0, 'UPGRADED', 'This part of the pages is not there any more, as after an upgrade. Load the page anew.')

/**
 * A component that is loaded when it is first shown.
 *
 * @param part Imports it.
 * @param whole Whether it is a whole page.
 */
export function lazily<Props extends object>(part: () => Promise<ComponentType<Props>>, whole = false): (props: Props) => ReactNode {
  let known: ComponentType<Props> | null = null
  return function Part(props: Props): ReactNode {
    const [loaded, setLoaded] = useState({ part: known })
    const [error, setError] = useState<unknown>(null)
    useEffect(() => {
      if (known !== null) return
      let shown = true
      load(part, whole, () => { if (shown) setError(AWAY) }, BROWSER).then(
        (found) => { known = found; if (shown) { setError(null); setLoaded({ part: found }) } },
        (failure: unknown) => { if (shown) setError(failure instanceof Missing ? UPGRADED : failure) },
      )
      return () => { shown = false }
    }, [])
    if (loaded.part !== null) return <loaded.part {...props} />
    return error === null ? <Loading /> : <Failure error={error} />
  }
}
