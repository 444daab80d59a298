import { expect, test } from 'vitest'
import { python, snippets } from '../src/snippets'
import { parse } from './hcl'

const HOST = 'https://models.example.com'
const texts = (request: Parameters<typeof snippets>[0]): Record<string, string> =>
  Object.fromEntries(snippets(request, HOST).map(({ name, text }) => [name, text]))

test('a query is shown for each client', () => {
  const body = { messages: [{ role: 'user', content: "What's that?" }], usage_context: { a: 'b' }, stream: true }
  const found = texts({ method: 'POST', path: '/serving-endpoints/chat/invocations', body })
  expect(Object.keys(found)).toEqual(['curl', 'OpenAI', 'Databricks SDK', 'MLflow'])
  expect(found.curl).toContain(`"What'\\''s that?"`)
  expect(found.OpenAI).toContain('client.chat.completions.create(\n    model="chat",')
  expect(found.OpenAI).toContain('extra_body={\n        "usage_context"')
  expect(found.OpenAI).toContain('for chunk in answer')
  expect(found.MLflow).toContain('client.predict_stream(')
  expect(found['Databricks SDK']).toContain('"/serving-endpoints/chat/invocations"')
})

test('what only one API has is shown for the clients that reach it', () => {
  const found = texts({ method: 'GET', path: '/api/2.0/usage?group_by=endpoint&end_time=5' })
  expect(Object.keys(found)).toEqual(['curl', 'Databricks SDK'])
  expect(found.curl).toBe(`curl -s -H "Authorization: Bearer $TOKEN" \\\n  "${HOST}/api/2.0/usage?group_by=endpoint&end_time=5"`)
  expect(found['Databricks SDK']).toContain('query={\n        "group_by": "endpoint"')
})

test('a secret is read from a variable, in no snippet spelled out', () => {
  const body = { config: { served_entities: [{ external_model: { openai_config: { openai_api_key_plaintext: 'sk-1' } } }, { external_model: { openai_config: { openai_api_key_plaintext: 'sk-2' } } }] } }
  const found = texts({ method: 'POST', path: '/api/2.0/serving-endpoints', body })
  expect(Object.keys(found)).toEqual(['curl', 'Databricks SDK', 'MLflow', 'Terraform'])
  for (const text of Object.values(found)) expect(text).not.toMatch(/sk-[12]/)
  expect(found.curl).toContain(`"openai_api_key_plaintext": "'"$OPENAI_API_KEY"'"`)
  expect(found.curl).toContain(`"'"$OPENAI_API_KEY_2"'"`)
  expect(found.MLflow).toContain('"openai_api_key_plaintext": os.environ["OPENAI_API_KEY"]')
})

test('an endpoint is a resource of Terraform, whose lists of objects are blocks', () => {
  const body = {
    name: '1st chat',
    config: {
      served_entities: [
        { name: 'a', external_model: { name: 'm', openai_config: { openai_api_key_plaintext: 'sk-1' } } },
        { name: 'b', environment_vars: { 'A.B': 'say ${x}' } },
      ],
      traffic_config: { routes: [{ served_model_name: 'a', traffic_percentage: 100 }] },
    },
    ai_gateway: { guardrails: { input: { invalid_keywords: ['x', 'y'] } }, retry_config: { max_retries: 1 } },
  }
  expect(texts({ method: 'POST', path: '/api/2.0/serving-endpoints', body }).Terraform).toBe(
`# Left out, since the provider has no place for it: retry_config
resource "databricks_model_serving" "_1st_chat" {
  name = "1st chat"
  config {
    served_entities {
      name = "a"
      external_model {
        name = "m"
        openai_config {
          openai_api_key_plaintext = var.openai_api_key
        }
      }
    }
    served_entities {
      name = "b"
      environment_vars = {
        "A.B" = "say $\${x}"
      }
    }
    traffic_config {
      routes {
        served_model_name = "a"
        traffic_percentage = 100
      }
    }
  }
  ai_gateway {
    guardrails {
      input {
        invalid_keywords = ["x", "y"]
      }
    }
  }
}

variable "openai_api_key" {
  type      = string
  sensitive = true
}
`)
})

test('what changes a part of an endpoint says that a resource is the whole', () => {
  const found = texts({ method: 'PUT', path: '/api/2.0/serving-endpoints/a%2Fb/ai-gateway', body: { usage_tracking_config: { enabled: true } } })
  expect(found.Terraform).toContain('is the whole endpoint')
  expect(found.Terraform).toContain('resource "databricks_model_serving" "a_b" {\n  name = "a/b"\n  ai_gateway {')
})

test('values are written as Python has them', () => {
  expect(python([true, null, 1.5, 'a"b', {}])).toBe('[\n    True,\n    None,\n    1.5,\n    "a\\"b",\n    {},\n]')
})

test('a long image is read from a file, a small one stands in the text', () => {
  const image = (length: number): object => ({ type: 'image_url', image_url: { url: `data:image/jpeg;base64,${'A'.repeat(length)}` } })
  const ask = (...parts: object[]): Record<string, string> =>
    texts({ method: 'POST', path: '/serving-endpoints/chat/invocations', body: { messages: [{ role: 'user', content: parts }] } })
  expect(ask(image(40)).curl).toContain(`"url": "data:image/jpeg;base64,${'A'.repeat(40)}"`)
  const found = ask({ type: 'text', text: 'Is it $5 or `6`? C:\\x' }, image(5000), image(6000))
  for (const text of Object.values(found)) {
    expect(text.length).toBeLessThan(2000)
    expect(text).toContain('# image-1.jpg, image-2.jpg: the images')
  }
  expect(found.curl).toContain(`"url": "data:image/jpeg;base64,$(base64 < image-2.jpg | tr -d '\\n')"`)
  // The shell reads the rest as it was written: JSON of a backslash is two, and each is escaped.
  expect(found.curl).toContain('"text": "Is it \\$5 or \\`6\\`? C:\\\\\\\\x"')
  for (const client of ['OpenAI', 'MLflow', 'Databricks SDK']) {
    expect(found[client]).toContain('import base64\nimport os')
    expect(found[client]).toContain('"url": "data:image/jpeg;base64," + base64.b64encode(open("image-1.jpg", "rb").read()).decode()')
  }
})

test.each([
  ['POST', '/api/2.0/secrets/scopes/create', { scope: 'providers' }, 'resource "databricks_secret_scope" "providers" {\n  name = "providers"\n}\n'],
  ['POST', '/api/2.0/secrets/acls/put', { scope: 's', principal: 'desk', permission: 'READ' }, 'resource "databricks_secret_acl" "s_desk" {\n  scope = "s"\n  principal = "desk"\n  permission = "READ"\n}\n'],
  ['POST', '/api/2.0/preview/scim/v2/Users', { userName: 'a@b.c', displayName: 'A' }, 'resource "databricks_user" "a_b_c" {\n  user_name = "a@b.c"\n  display_name = "A"\n}\n'],
  ['POST', '/api/2.0/token/create', { comment: 'a job', lifetime_seconds: 60 }, 'resource "databricks_token" "a_job" {\n  comment = "a job"\n  lifetime_seconds = 60\n}\n'],
  ['PATCH', '/api/2.0/permissions/serving-endpoints/0a1b', { access_control_list: [{ group_name: 'desk', permission_level: 'CAN_QUERY' }] }, '# A resource is all grants of the endpoint: give the others as blocks, too.\nresource "databricks_permissions" "_0a1b" {\n  serving_endpoint_id = "0a1b"\n  access_control {\n    group_name = "desk"\n    permission_level = "CAN_QUERY"\n  }\n}\n'],
])('%s %s is a resource, too', (method, path, body, resource) => {
  expect(texts({ method, path, body }).Terraform).toBe(resource)
})

test('the value of a secret is a variable of Terraform', () => {
  const { Terraform: text } = texts({ method: 'POST', path: '/api/2.0/secrets/put', body: { scope: 's', key: 'k', string_value: 'hidden' } })
  expect(text).toContain('resource "databricks_secret" "s_k" {\n  scope = "s"\n  key = "k"\n  string_value = var.string_value\n}')
  expect(text).toContain('variable "string_value" {\n  type      = string\n  sensitive = true\n}')
})

test('what is written for Terraform is read as what the request holds', () => {
  const body = {
    name: 'chat',
    config: {
      served_entities: ['a', 'b'].map((name) => ({
        name, external_model: { name: 'gpt "4"\n${x} %{y}', provider: 'openai', task: 'llm/v1/chat', openai_config: { openai_api_key_plaintext: `sk-${name}` } },
      })),
      traffic_config: { routes: [{ served_model_name: 'a', traffic_percentage: 100 }] },
    },
    ai_gateway: { usage_tracking_config: { enabled: true }, guardrails: { input: { invalid_keywords: ['x', 'y'] } } },
  }
  const found = parse(texts({ method: 'POST', path: '/api/2.0/serving-endpoints', body }).Terraform ?? '')
  const entity = (name: string, variable: string): object => ({
    name, external_model: [{ name: 'gpt "4"\n${x} %{y}', provider: 'openai', task: 'llm/v1/chat', openai_config: [{ openai_api_key_plaintext: { variable } }] }],
  })
  expect(found).toEqual({
    'resource databricks_model_serving chat': {
      name: 'chat',
      config: [{
        served_entities: [entity('a', 'openai_api_key'), entity('b', 'openai_api_key_2')],
        traffic_config: [{ routes: [{ served_model_name: 'a', traffic_percentage: 100 }] }],
      }],
      ai_gateway: [{ usage_tracking_config: [{ enabled: true }], guardrails: [{ input: [{ invalid_keywords: ['x', 'y'] }] }] }],
    },
    'variable openai_api_key': { type: 'string', sensitive: true },
    'variable openai_api_key_2': { type: 'string', sensitive: true },
  })
})
