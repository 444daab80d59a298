/** Reads the HCL that snippets are made of: blocks, attributes, lists, maps, variables and comments. */

export type Block = Record<string, unknown>

/** Return the blocks of a text by their labels; blocks of one name in a block are a list. */
export function parse(text: string): Record<string, Block> {
  const tokens = text.match(/#[^\n]*|"(?:[^"\\]|\\.)*"|[A-Za-z_][\w.-]*|-?\d[\d.eE+-]*|[{}[\]=,]|\S/g)?.filter((token) => !token.startsWith('#')) ?? []
  let at = 0
  const take = (wanted?: string): string => {
    const token = tokens[at++]
    if (token === undefined || (wanted !== undefined && token !== wanted)) throw new Error(`${token ?? 'the end'} where ${wanted ?? 'more'} should be`)
    return token
  }
  const string = (token: string): string => (JSON.parse(token) as string).replace(/([$%])\1\{/g, '$1{')
  const value = (): unknown => {
    const token = take()
    if (token === '[') return list()
    if (token === '{') return map()
    if (token.startsWith('"')) return string(token)
    return token.startsWith('var.') ? { variable: token.slice(4) } : JSON.parse(token)
  }
  const list = (): unknown[] => {
    const found: unknown[] = []
    while (tokens[at] !== ']') {
      found.push(value())
      if (tokens[at] !== ']') take(',')
    }
    take(']')
    return found
  }
  const map = (): Block => {
    const found: Block = {}
    while (tokens[at] !== '}') {
      const name = string(take())
      take('=')
      found[name] = value()
    }
    take('}')
    return found
  }
  const block = (): Block => {
    const found: Block = {}
    take('{')
    while (tokens[at] !== '}') {
      const name = take()
      if (!/^[A-Za-z_]/.test(name)) throw new Error(`${name} is no name`)
      if (tokens[at] === '=') {
        take('=')
        found[name] = tokens[at] === 'string' ? take() : value()
      } else {
        found[name] = [...(found[name] as Block[] | undefined ?? []), block()]
      }
    }
    take('}')
    return found
  }
  const all: Record<string, Block> = {}
  while (at < tokens.length) {
    const labels = [take()]
    while (tokens[at]?.startsWith('"')) labels.push(string(take()))
    all[labels.join(' ')] = block()
  }
  return all
}
