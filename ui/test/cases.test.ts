import { expect, test } from 'vitest'
import { caseOf, controls, groups, PROVIDERS, type ProviderForm, providerForm } from '../src/forms/cases'
import { configOf, draftOf, draftsOf, type EntityDraft, entityOf, newDraft, providerConfig, stepsOf } from '../src/forms/draft'

function form(provider: string): ProviderForm {
  const found = providerForm(provider)
  if (found === undefined) throw new Error(`no form of ${provider}`)
  return found
}
const paths = (found: ProviderForm, place: number, group = ''): string[] => controls(found, place, group).map(({ path }) => path)
const required = (found: ProviderForm, place: number, group = ''): string[] =>
  controls(found, place, group).filter((control) => control.required).map(({ path }) => path)

/** Fill in everything that a form asks for. */
function filled(found: ProviderForm, place: number, group: string): EntityDraft {
  const draft = { ...newDraft(1, 100), provider: found.provider, place, group, model: 'a-model', task: found.tasks[0] ?? '' }
  for (const { path, field, choices } of controls(found, place, group)) {
    if (field.secret) draft.references[path] = 'scope/key'
    else draft.texts[path] = choices[0] ?? `value of ${path}`
  }
  return draft
}

test('every provider has a form, and what it makes is read back as it was filled in', () => {
  expect(PROVIDERS.length).toBeGreaterThanOrEqual(8)
  for (const found of PROVIDERS) {
    found.cases.forEach((_, place) => {
      const options = groups(found, place)
      for (const group of options.length === 0 ? [''] : options) {
        const draft = filled(found, place, group)
        const config = providerConfig(found, draft)
        expect(caseOf(found, config)).toBe(place)
        const entity = entityOf(draft) as unknown as Parameters<typeof draftOf>[0]
        expect(draftOf(entity, 1, 100)).toEqual({ ...draft, name: 'a-model' })
      }
    })
  }
})

test('an alternative shows what it needs, and nothing of the others', () => {
  const openai = form('openai')
  expect(required(openai, 0)).toEqual(['openai_api_key'])
  expect(paths(openai, 0)).not.toContain('microsoft_entra_tenant_id')
  expect(required(openai, 1)).toContain('openai_deployment_name')
  expect(paths(openai, 2)).not.toContain('openai_api_key')
  expect(required(openai, 2)).toContain('microsoft_entra_client_secret')
  expect(providerConfig(openai, filled(openai, 1, '')).openai_api_type).toBe('azure')
  expect(providerConfig(openai, filled(openai, 0, ''))).not.toHaveProperty('openai_api_type')
  const bedrock = form('amazon-bedrock')
  expect(required(bedrock, 0)).toContain('instance_profile_arn')
  expect(paths(bedrock, 0)).not.toContain('aws_session_token')
  expect(paths(bedrock, 1)).not.toContain('instance_profile_arn')
  expect(paths(bedrock, 1)).toContain('aws_session_token')
})

test('of a group the chosen one is sent, and nothing that was filled in for another', () => {
  const custom = form('custom')
  const draft = { ...filled(custom, 0, 'bearer_token_auth'), group: 'api_key_auth' }
  draft.texts['api_key_auth.key'] = 'x-api-key'
  draft.texts['api_key_auth.value'] = 'the key'
  draft.plain['api_key_auth.value'] = true
  expect(providerConfig(custom, draft)).toEqual({
    custom_provider_url: 'value of custom_provider_url',
    api_key_auth: { key: 'x-api-key', value_plaintext: 'the key' },
  })
})

test('a hosted model keeps its scale and its variables', () => {
  const entity = {
    name: 'prod', entity_name: 'main.ml.iris', entity_version: '3', min_provisioned_concurrency: 4,
    max_provisioned_concurrency: 16, scale_to_zero_enabled: false, environment_vars: { A: 'b=c', S: '{{secrets/x/y}}' },
  }
  expect(entityOf(draftOf(entity, 1, 100))).toEqual(entity)
})

test('the split of a configuration comes back', () => {
  const config = configOf([{ ...newDraft(1, 70), name: 'a' }, { ...newDraft(2, 30), name: 'b' }])
  expect(draftsOf(config).map(({ name, share }) => [name, share])).toEqual([['a', 70], ['b', 30]])
})

test('throughput and burst are sent as they were filled in, and read back', () => {
  const draft = { ...newDraft(1, 100), kind: 'hosted' as const }
  const tokens = { ...draft, hosted: { ...draft.hosted, entity: 'a.b.c', version: '1', size: 'tokens', least: '80', most: '160', toZero: false } }
  const sent = { name: 'a-b-c-1', entity_name: 'a.b.c', entity_version: '1', scale_to_zero_enabled: false }
  expect(entityOf(tokens)).toEqual({ ...sent, min_provisioned_throughput: 80, max_provisioned_throughput: 160 })
  expect(draftOf({ ...sent, min_provisioned_throughput: 80, max_provisioned_throughput: 160 }, 1, 100).hosted).toEqual(tokens.hosted)
  const units = { ...draft, hosted: { ...tokens.hosted, size: 'units', least: '', most: '', units: '50', burst: true } }
  expect(entityOf(units)).toEqual({ ...sent, provisioned_model_units: 50, burst_scaling_enabled: true })
  expect(draftOf({ ...sent, provisioned_model_units: 50 }, 1, 100).hosted).toEqual({ ...units.hosted, burst: false })
})

test('a credential that is not returned is kept until it is replaced', () => {
  const served = { name: 'a', external_model: { name: 'gpt-4o', provider: 'openai', task: 'llm/v1/chat', openai_config: {} } }
  const draft = draftOf(served, 1, 100)
  expect(draft.kept).toEqual({ openai_api_key: true })
  expect(configOf([draft])).toMatchObject({ served_entities: [served], keep_credentials_of: ['a'] })
  const replaced = { ...draft, kept: { openai_api_key: false }, references: { openai_api_key: 'scope/key' } }
  expect(configOf([replaced])).not.toHaveProperty('keep_credentials_of')
  expect(entityOf(replaced)).toMatchObject({ external_model: { openai_config: { openai_api_key: '{{secrets/scope/key}}' } } })
})

test('throughput is offered in whole chunks, up to the most and with what is chosen', () => {
  const steps = stepsOf(80, 80 * 40)
  expect(steps.slice(0, 3)).toEqual([80, 160, 240])
  expect(steps).toContain(80 * 40)
  expect(steps.at(-1)).toBe(80 * 256)
  expect(steps.every((value) => value % 80 === 0)).toBe(true)
  expect(steps).toEqual([...new Set(steps)].sort((one, other) => one - other))
})

test('models are suggested for the task that they serve', () => {
  expect(providerForm('openai')?.suggested_models['llm/v1/chat']).toContain('gpt-4o')
  expect(providerForm('openai')?.suggested_models['llm/v1/embeddings']).not.toContain('gpt-4o')
  expect(providerForm('custom')?.suggested_models).toEqual({})
})
