/** The same request as a resource of the mirrored product's Terraform provider, where there is one. */
import type { ApiRequest } from '../api'

// What marks a value that is read from a variable, as JSON writes it.
const MARKED = /"\\u0001(\w+)\\u0001"/g
// What this API adds to the mirrored one, which the provider has no place for.
const OWN = new Set(['retry_config', 'timeout_config', 'judge', 'keep_credentials_of'])
// Objects that are maps of the caller's names, and no blocks.
const MAPS = new Set(['environment_vars'])

type Fields = Record<string, unknown>

/** Return the resource that the request means, or null where the provider has none. */
export function terraform(request: ApiRequest): string | null {
  const found = resourceOf(request)
  if (found === null) return null
  const left: string[] = []
  const lines = block(found.body, 1, left)
  const resource = `resource "${found.type}" "${label(found.name)}" {\n${lines}}\n`
  const variables = [...new Set([...resource.matchAll(/\bvar\.(\w+)/g)].map(([, name]) => name))]
  return [
    ...(left.length === 0 ? [] : [`# Left out, since the provider has no place for it: ${[...new Set(left)].join(', ')}`]),
    ...(found.rest === undefined ? [] : [`# ${found.rest}`]),
    resource,
    ...variables.map((name) => `variable "${name}" {\n  type      = string\n  sensitive = true\n}\n`),
  ].join('\n')
}

interface Resource {
  type: string
  name: string
  body: Fields
  /** What else belongs to the resource. */
  rest?: string
}

const PERMISSIONS = /^\/api\/2\.0\/permissions\/serving-endpoints\/([^/]+)$/
const PART = /^\/api\/2\.0\/serving-endpoints\/([^/]+)\/(config|ai-gateway)$/

function resourceOf({ method, path, body }: ApiRequest): Resource | null {
  if (!isObject(body)) return null
  if (method === 'POST' && path === '/api/2.0/serving-endpoints') {
    return { type: typeOf(body.config), name: String(body.name), body }
  }
  const other = method === 'POST' ? otherOf(path, body) : null
  if (other !== null) return other
  const granted = method === 'PATCH' ? PERMISSIONS.exec(path)?.[1] : undefined
  if (granted !== undefined) {
    const grants = Array.isArray(body.access_control_list) ? body.access_control_list : []
    return {
      type: 'databricks_permissions', name: granted, body: { serving_endpoint_id: granted, access_control: grants },
      rest: 'A resource is all grants of the endpoint: give the others as blocks, too.',
    }
  }
  const [found, encoded = '', part = ''] = (method === 'PUT' ? PART.exec(path) : null) ?? []
  if (found === undefined) return null
  const name = decodeURIComponent(encoded)
  return {
    type: typeOf(body), name, body: { name, [part.replace('-', '_')]: body },
    rest: 'A resource is the whole endpoint: keep its other blocks as they are.',
  }
}

// Requests that make something, with the resource that does the same, and what names that.
const OTHERS: Record<string, [type: string, ...names: string[]]> = {
  '/api/2.0/secrets/scopes/create': ['databricks_secret_scope', 'scope'],
  '/api/2.0/secrets/put': ['databricks_secret', 'scope', 'key'],
  '/api/2.0/secrets/acls/put': ['databricks_secret_acl', 'scope', 'principal'],
  '/api/2.0/preview/scim/v2/Users': ['databricks_user', 'userName'],
  '/api/2.0/preview/scim/v2/Groups': ['databricks_group', 'displayName'],
  '/api/2.0/preview/scim/v2/ServicePrincipals': ['databricks_service_principal', 'displayName'],
  '/api/2.0/token/create': ['databricks_token', 'comment'],
  '/api/2.0/token-management/on-behalf-of/tokens': ['databricks_obo_token', 'comment'],
}
// What the resources call otherwise than the requests.
const RENAMED: Record<string, string> = { userName: 'user_name', displayName: 'display_name' }

function otherOf(path: string, body: Fields): Resource | null {
  const [type, ...names] = OTHERS[path] ?? []
  if (type === undefined) return null
  const rename = (name: string): string => (type === 'databricks_secret_scope' && name === 'scope' ? 'name' : RENAMED[name] ?? name)
  return {
    type,
    name: names.map((name) => String(body[name] ?? '')).join('_'),
    body: Object.fromEntries(Object.entries(body).map(([name, value]) => [rename(name), value])),
  }
}

/** Endpoints whose throughput is in model units are resources of another type. */
function typeOf(config: unknown): string {
  const entities = isObject(config) && Array.isArray(config.served_entities) ? config.served_entities : []
  const units = entities.some((entity) => isObject(entity) && entity.provisioned_model_units !== undefined)
  return units ? 'databricks_model_serving_provisioned_throughput' : 'databricks_model_serving'
}

/** A name of a resource has letters, digits, `_` and `-`, and begins with no digit. */
function label(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9_-]/g, '_')
  return /^[A-Za-z_]/.test(plain) ? plain : `_${plain}`
}

function block(fields: Fields, depth: number, left: string[]): string {
  return Object.entries(fields).map(([name, value]) => member(name, value, depth, left)).join('')
}

function member(name: string, value: unknown, depth: number, left: string[]): string {
  if (OWN.has(name)) {
    left.push(name)
    return ''
  }
  const space = '  '.repeat(depth)
  if (Array.isArray(value) && value.every(isObject)) {
    return value.map((item) => member(name, item, depth, left)).join('')
  }
  if (!isObject(value)) return `${space}${name} = ${scalar(value)}\n`
  if (!MAPS.has(name)) return `${space}${name} {\n${block(value, depth + 1, left)}${space}}\n`
  const entries = Object.entries(value).map(([key, item]) => `${space}  ${scalar(key)} = ${scalar(item)}\n`)
  return `${space}${name} = {\n${entries.join('')}${space}}\n`
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** A value as HCL writes it: as JSON, but that `${` and `%{` begin a template. */
function scalar(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(scalar).join(', ')}]`
  const text = JSON.stringify(value ?? null).replace(/[$%](?=\{)/g, '$&$&').replace(/\\([bf])/g, (_, letter: string) => (letter === 'b' ? '\\u0008' : '\\u000c'))
  return text.replace(MARKED, (_, name: string) => `var.${name.toLowerCase()}`)
}
