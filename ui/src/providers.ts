/**
 * What a new configuration of each provider starts from.
 *
 * The API checks what comes of it, and says what to change; the fields are those of
 * `protos/modelserving/v1/external_model.proto`.
 */
export interface Provider {
  field: string
  tasks: string[]
  template: Record<string, unknown>
}

const CHAT = 'llm/v1/chat'
const COMPLETIONS = 'llm/v1/completions'
const EMBEDDINGS = 'llm/v1/embeddings'
const ALL = [CHAT, COMPLETIONS, EMBEDDINGS]
const secret = (key: string): string => `{{secrets/SCOPE/${key}}}`

export const PROVIDERS: Record<string, Provider> = {
  openai: {
    field: 'openai_config',
    tasks: ALL,
    template: { openai_api_key: secret('KEY') },
  },
  'openai (Azure)': {
    field: 'openai_config',
    tasks: ALL,
    template: {
      openai_api_type: 'azure',
      openai_api_key: secret('KEY'),
      openai_api_base: 'https://RESOURCE.openai.azure.com',
      openai_api_version: '2024-10-21',
      openai_deployment_name: 'DEPLOYMENT',
    },
  },
  'openai (Microsoft Entra)': {
    field: 'openai_config',
    tasks: ALL,
    template: {
      openai_api_type: 'azuread',
      microsoft_entra_tenant_id: 'TENANT',
      microsoft_entra_client_id: 'CLIENT',
      microsoft_entra_client_secret: secret('KEY'),
      openai_api_base: 'https://RESOURCE.openai.azure.com',
      openai_api_version: '2024-10-21',
      openai_deployment_name: 'DEPLOYMENT',
    },
  },
  anthropic: {
    field: 'anthropic_config',
    tasks: [CHAT, COMPLETIONS],
    template: { anthropic_api_key: secret('KEY') },
  },
  cohere: { field: 'cohere_config', tasks: ALL, template: { cohere_api_key: secret('KEY') } },
  ai21labs: {
    field: 'ai21labs_config',
    tasks: [CHAT, COMPLETIONS],
    template: { ai21labs_api_key: secret('KEY') },
  },
  'amazon-bedrock': {
    field: 'amazon_bedrock_config',
    tasks: ALL,
    template: {
      aws_region: 'us-east-1',
      bedrock_provider: 'anthropic',
      aws_access_key_id: secret('KEY_ID'),
      aws_secret_access_key: secret('SECRET_KEY'),
    },
  },
  'google-cloud-vertex-ai': {
    field: 'google_cloud_vertex_ai_config',
    tasks: ALL,
    template: { project_id: 'PROJECT', region: 'us-central1', private_key: secret('KEY') },
  },
  'databricks-model-serving': {
    field: 'databricks_model_serving_config',
    tasks: ALL,
    template: {
      databricks_workspace_url: 'https://WORKSPACE.cloud.databricks.com',
      databricks_api_token: secret('KEY'),
    },
  },
  custom: {
    field: 'custom_provider_config',
    tasks: ALL,
    template: {
      custom_provider_url: 'https://api.example.com/v1',
      bearer_token_auth: { token: secret('KEY') },
    },
  },
}

/** The body that creates an endpoint with one external model. */
export function createBody(
  name: string,
  choice: string,
  model: string,
  task: string,
  config: unknown,
): unknown {
  const field = PROVIDERS[choice]?.field ?? ''
  const provider = choice.split(' ')[0]
  return {
    name,
    config: {
      served_entities: [{ external_model: { name: model, provider, task, [field]: config } }],
    },
  }
}
