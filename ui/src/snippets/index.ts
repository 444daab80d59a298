/** The same request in other words: curl, and the Python clients that people have. */
import type { ApiRequest } from '../api'
import { hasImages, hereDocument, hideImage, pythonImages, told } from './images'
import { terraform } from './terraform'

export interface Snippet {
  name: string
  text: string
}

const SECRET_FIELDS = /(_plaintext$|^string_value$)/
const MARK = '\u0001'

/** Return the request as text for each client that can make it; secrets are read from variables. */
export function snippets(request: ApiRequest, host: string): Snippet[] {
  const variables: string[] = []
  const files: string[] = []
  const hidden: ApiRequest = { ...request, body: hide(request.body, variables, files) }
  const script = (text: string | null): string | null => text && told(files) + (files.length > 0 ? `import base64\n${text}` : text)
  return [
    { name: 'curl', text: told(files) + curl(hidden, host) },
    ...optional('OpenAI', script(openai(hidden, host))),
    { name: 'Databricks SDK', text: script(databricks(hidden, host)) ?? '' },
    ...optional('MLflow', script(mlflow(hidden, host))),
    ...optional('Terraform', terraform(hidden)),
  ]
}

function optional(name: string, text: string | null): Snippet[] {
  return text === null ? [] : [{ name, text }]
}

function hide(value: unknown, variables: string[], files: string[], name = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => hide(item, variables, files))
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hide(item, variables, files, key)]))
  }
  if (typeof value !== 'string') return value
  if (!SECRET_FIELDS.test(name)) return hideImage(value, files)
  const variable = name.replace(/_plaintext$/, '').toUpperCase()
  const found = variables.filter((other) => other === variable || other.startsWith(`${variable}_`)).length
  variables.push(found === 0 ? variable : `${variable}_${found + 1}`)
  return MARK + variables.at(-1) + MARK
}

const marked = new RegExp(`"\\\\u0001(\\w+)\\\\u0001"`, 'g')

export function curl({ method, path, body }: ApiRequest, host: string): string {
  const lines = [`curl -s -H "Authorization: Bearer $TOKEN"`]
  if (method !== (body === undefined ? 'GET' : 'POST')) lines[0] += ` -X ${method}`
  lines.push(`  "${host}${path.replace(/[$`"\\]/g, '\\$&')}"`)
  if (body !== undefined) {
    const plain = JSON.stringify(body, null, 2)
    if (hasImages(plain)) return `${lines.join(' \\\n')} \\\n  -d @- <<JSON\n${hereDocument(plain)}\nJSON`
    const json = plain.replaceAll("'", "'\\''")
    lines.push(`  -d '${json.replace(marked, `"'"$$$1"'"`)}'`)
  }
  return lines.join(' \\\n')
}

/** A value as Python writes it. */
export function python(value: unknown, indent = 0): string {
  const inner = ' '.repeat(indent + 4)
  const end = ' '.repeat(indent)
  if (value === null || value === undefined) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'string') {
    const text = JSON.stringify(value)
    return pythonImages(text.replace(marked, 'os.environ["$1"]'))
  }
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]'
    return `[\n${value.map((item) => `${inner}${python(item, indent + 4)},\n`).join('')}${end}]`
  }
  if (typeof value === 'object') {
    const entries = Object.entries(value)
    if (entries.length === 0) return '{}'
    const lines = entries.map(([key, item]) => `${inner}${JSON.stringify(key)}: ${python(item, indent + 4)},\n`)
    return `{\n${lines.join('')}${end}}`
  }
  return String(value)
}

/** Arguments of a call, one a line. */
function keywords(values: Record<string, unknown>): string {
  return Object.entries(values).map(([name, value]) => `    ${name}=${python(value, 4)},\n`).join('')
}

export function databricks({ method, path, body }: ApiRequest, host: string): string {
  const [bare = '', search = ''] = path.split('?')
  const given = Object.fromEntries(new URLSearchParams(search))
  const more = [
    search === '' ? '' : `    query=${python(given, 4)},\n`,
    body === undefined ? '' : `    body=${python(body, 4)},\n`,
  ].join('')
  return `import os

from databricks.sdk import WorkspaceClient

client = WorkspaceClient(host="${host}", token=os.environ["TOKEN"])
answer = client.api_client.do(
    "${method}",
    ${JSON.stringify(bare)},
${more})
print(answer)
`
}

const QUERY = /^\/serving-endpoints\/([^/]+)\/invocations$/

// What the client of OpenAI has an argument of its own for; all else goes as `extra_body`.
const OPENAI = new Set([
  'messages', 'prompt', 'input', 'max_tokens', 'temperature', 'top_p', 'stop', 'stream', 'n', 'seed',
  'tools', 'tool_choice', 'response_format', 'logprobs', 'top_logprobs', 'presence_penalty',
  'frequency_penalty', 'user', 'dimensions', 'encoding_format',
])

export function openai({ path, body }: ApiRequest, host: string): string | null {
  const name = QUERY.exec(path)?.[1]
  if (name === undefined || typeof body !== 'object' || body === null) return null
  const call = 'messages' in body ? 'chat.completions' : 'prompt' in body ? 'completions' : 'input' in body ? 'embeddings' : null
  if (call === null) return null
  const entries = Object.entries(body)
  const extra = Object.fromEntries(entries.filter(([key]) => !OPENAI.has(key)))
  const values = {
    model: decodeURIComponent(name),
    ...Object.fromEntries(entries.filter(([key]) => OPENAI.has(key))),
    ...(Object.keys(extra).length === 0 ? {} : { extra_body: extra }),
  }
  const streams = 'stream' in body && body.stream === true
  const print = streams ? 'for chunk in answer:\n    print(chunk)' : 'print(answer)'
  return `import os

from openai import OpenAI

client = OpenAI(base_url="${host}/serving-endpoints", api_key=os.environ["TOKEN"])
answer = client.${call}.create(
${keywords(values)})
${print}
`
}

const ONE = /^\/api\/2\.0\/serving-endpoints\/([^/]+)(\/config)?$/

export function mlflow({ method, path, body }: ApiRequest, host: string): string | null {
  const call = mlflowCall(method, path, body)
  if (call === null) return null
  return `import os

os.environ["DATABRICKS_HOST"] = "${host}"
os.environ["DATABRICKS_TOKEN"] = os.environ["TOKEN"]

from mlflow.deployments import get_deploy_client

client = get_deploy_client("databricks")
${call}
`
}

function mlflowCall(method: string, path: string, body: unknown): string | null {
  const asked = QUERY.exec(path)?.[1]
  if (asked !== undefined && typeof body === 'object' && body !== null) {
    const { stream, ...inputs } = body as Record<string, unknown>
    const values = keywords({ endpoint: decodeURIComponent(asked), inputs })
    return stream === true
      ? `for chunk in client.predict_stream(\n${values}):\n    print(chunk)`
      : `answer = client.predict(\n${values})\nprint(answer)`
  }
  if (path === '/api/2.0/serving-endpoints' && method === 'POST') {
    return `print(client.create_endpoint(\n${keywords({ config: body })}))`
  }
  if (/^\/api\/2\.0\/serving-endpoints(\?|$)/.test(path) && method === 'GET') return 'print(client.list_endpoints())'
  const [, name, config] = ONE.exec(path) ?? []
  if (name === undefined) return null
  const endpoint = decodeURIComponent(name)
  if (config !== undefined && method === 'PUT') {
    return `print(client.update_endpoint_config(\n${keywords({ endpoint, config: body })}))`
  }
  if (config === undefined && method === 'GET') return `print(client.get_endpoint(${python(endpoint)}))`
  if (config === undefined && method === 'DELETE') return `client.delete_endpoint(${python(endpoint)})`
  return null
}
