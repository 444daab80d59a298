/** What a browser calls itself, in short. Pure. */

// The first that fits: most say that they are others, too.
const BROWSERS: [RegExp, string][] = [
  [/\bEdg(?:e|A|iOS)?\/(\d+)/, 'Edge'],
  [/\bOPR\/(\d+)/, 'Opera'],
  [/\b(?:Firefox|FxiOS)\/(\d+)/, 'Firefox'],
  [/(?:\bChrome|HeadlessChrome|\bCriOS)\/(\d+)/, 'Chrome'],
  [/\bVersion\/(\d+)\S* (?:Mobile\/\S+ )?Safari\//, 'Safari'],
]
const SYSTEMS: [RegExp, string][] = [
  [/Android/, 'Android'],
  [/iPhone|iPad/, 'iOS'],
  [/Windows/, 'Windows'],
  [/Mac OS X|Macintosh/, 'macOS'],
  [/CrOS/, 'ChromeOS'],
  [/Linux/, 'Linux'],
]

/** The browser and the system of a user agent, or the whole of it where it is none that is known. */
export function browserOf(agent: string): string {
  for (const [pattern, name] of BROWSERS) {
    const [, version] = pattern.exec(agent) ?? []
    if (version === undefined) continue
    const [, system] = SYSTEMS.find(([one]) => one.test(agent)) ?? []
    return system === undefined ? `${name} ${version}` : `${name} ${version} on ${system}`
  }
  return agent === '' ? 'unknown' : agent
}
