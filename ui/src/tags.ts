/** Tags as they are typed. Pure. */

/** The tags of a text: `key=value`, with commas. */
export function tagsOf(text: string): { key: string; value?: string }[] {
  return text.split(',').map((part) => part.trim()).filter((part) => part !== '').map((part) => {
    const place = part.indexOf('=')
    return place < 0 ? { key: part } : { key: part.slice(0, place).trim(), value: part.slice(place + 1).trim() }
  })
}
