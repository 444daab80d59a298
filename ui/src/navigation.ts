/** Whether the navigation is folded away, which this browser keeps as it keeps the theme. */
const NAME = 'navigation'

export function isFolded(): boolean {
  return localStorage.getItem(NAME) === 'folded'
}

export function keepFolded(folded: boolean): void {
  if (folded) localStorage.setItem(NAME, 'folded')
  else localStorage.removeItem(NAME)
}
