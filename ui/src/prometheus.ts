/** Reads the metrics of an endpoint, as Prometheus prints them. Pure. */

export interface Sample {
  name: string
  labels: Record<string, string>
  value: number
}

const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g

export function samples(text: string): Sample[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = LINE.exec(line) ?? []
    if (name === undefined || value === undefined || line.startsWith('#')) return []
    const found = [...labels.matchAll(LABEL)].map(([, key = '', text = '']) => [key, text.replace(/\\(.)/g, '$1')])
    return [{ name, labels: Object.fromEntries(found) as Record<string, string>, value: Number(value) }]
  })
}

/** What one served entity did in the last minute, and how long its calls have taken. */
export interface Live {
  requests: number
  refused: number
  failed: number
  median: number | null
}

export function live(all: readonly Sample[], entity: string): Live {
  const own = all.filter(({ labels }) => labels.served_model_name === entity)
  const value = (name: string): number => own.find((sample) => sample.name === name)?.value ?? 0
  const buckets = own
    .filter(({ name }) => name === 'request_latency_ms_bucket')
    .map(({ labels, value: cumulative }) => ({ most: Number(labels.le === '+Inf' ? Infinity : labels.le), cumulative }))
    .sort((a, b) => a.most - b.most)
  return {
    requests: value('request_count_total'),
    refused: value('request_4xx_count_total'),
    failed: value('request_5xx_count_total'),
    median: quantile(buckets, 0.5),
  }
}

/** The upper end of the bucket that a quantile is in; null without calls. */
export function quantile(buckets: readonly { most: number; cumulative: number }[], part: number): number | null {
  const total = buckets.at(-1)?.cumulative ?? 0
  if (total === 0) return null
  const found = buckets.find(({ cumulative }) => cumulative >= part * total)
  return found !== undefined && Number.isFinite(found.most) ? found.most : null
}
