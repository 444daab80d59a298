/** Parts of the pages that are loaded when they are first shown. Pure but for what is around. */
// Where it says that this tab was loaded anew for a part that was missing.
const RELOADED = 'reloaded'

export interface Surroundings {
  /** Whether the deployment hands out its pages. */
  isThere: () => Promise<boolean>
  kept: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>
  reload: () => void
  pause: () => Promise<void>
}

/** The part is not there, and the page is not loaded anew. */
export class Missing extends Error {}

/**
 * Load a part.
 *
 * Where the deployment does not answer, that is waited for. Where it does and has no such part, it was
 * upgraded since this page was loaded, so the page is loaded anew, once; but not while there may be
 * something on it that would be lost.
 *
 * @param whole Whether it is a whole page, beside which nothing is shown.
 * @param tell Is told what is waited for.
 * @throws Missing
 */
export async function load<Part>(
  part: () => Promise<Part>, whole: boolean, tell: () => void, around: Surroundings,
): Promise<Part> {
  const first = await part().catch(() => null)
  if (first !== null) {
    around.kept.removeItem(RELOADED)
    return first
  }
  while (!(await around.isThere())) {
    tell()
    await around.pause()
  }
  try {
    return await part()
  } catch {
    if (!whole || around.kept.getItem(RELOADED) !== null) throw new Missing()
    around.kept.setItem(RELOADED, '1')
    around.reload()
    // Nothing follows.
    return new Promise(() => undefined)
  }
}
