/** Answers of the API, as far as the pages read them. */

export interface ExternalModel {
  name: string
  provider: string
  task: string
  [config: string]: unknown
}
export interface ServedEntity {
  name: string
  entity_name?: string
  entity_version?: string | number
  external_model?: ExternalModel
  workload_size?: string
  workload_type?: string
  scale_to_zero_enabled?: boolean
  min_provisioned_concurrency?: number
  max_provisioned_concurrency?: number
  min_provisioned_throughput?: number
  max_provisioned_throughput?: number
  provisioned_model_units?: number
  environment_vars?: Record<string, string>
  state?: { deployment?: string; deployment_state_message?: string; progress?: Progress }
  creator?: string
  creation_timestamp?: number
  type?: string
}
/** How far the deployment of a hosted model is. Times are milliseconds since the epoch. */
export interface Progress {
  stage: string
  start_time?: number
  done?: number
  total?: number
  estimated_end_time?: number
}
export interface RolloutWorker {
  worker_id: string
  build: string
  replica_id: string
  state: string
  prepared_time?: number
  active_time?: number
  message?: string
}
export interface DeploymentStep {
  stage: string
  start_time: number
  end_time?: number
}
export interface RolloutEntity {
  served_entity_name: string
  deployment: string
  message?: string
  reused?: boolean
  steps?: DeploymentStep[]
}
export interface Rollout {
  config_version: number
  phase: string
  outcome: string
  outcome_message?: string
  creator?: string
  start_time: number
  prepared_time?: number
  end_time?: number
  deadline_time?: number
  workers?: RolloutWorker[]
  entities?: RolloutEntity[]
}
export interface Route {
  served_model_name?: string
  served_entity_name?: string
  traffic_percentage: number
}
export interface EndpointConfig {
  served_entities?: ServedEntity[]
  traffic_config?: { routes?: Route[] }
  config_version?: number
  start_time?: number
}
export interface RateLimit {
  calls?: number
  tokens?: number
  key?: string
  principal?: string
  renewal_period?: string
}
export interface GuardrailSide {
  safety?: boolean
  pii?: { behavior?: string }
  invalid_keywords?: string[]
  valid_topics?: string[]
}
export interface Judge {
  endpoint_name: string
  form?: string
}
export interface Guardrails {
  input?: GuardrailSide
  output?: GuardrailSide
  judge?: Judge
}
export interface Policy {
  name: string
  rank?: number
  phases?: string[]
  mode?: string
  action?: string
  pii?: { entities?: string[] }
  keywords?: { words: string[] }
  patterns?: { expressions: string[]; entity?: string }
  judge?: Judge
}
export interface Finding {
  kind: string
  policy?: string
  action?: string
  mode?: string
  start?: number
  end?: number
}
export interface Verdict {
  action: string
  text: string
  findings: Finding[]
}
export interface Deployment {
  version: string
  features?: string[]
}
export interface Worker {
  worker_id: string
  build: string
  replica_id: string
  applied_revision: string
  up_to_date: boolean
  connected_time: number
}
export interface OptimizationInfo {
  optimizable: boolean
  throughput_chunk_size?: number
  estimated?: boolean
  reason?: string
}
export interface AiGateway {
  guardrails?: Guardrails
  inference_table_config?: { enabled?: boolean; catalog_name?: string; schema_name?: string; table_name_prefix?: string }
  usage_tracking_config?: { enabled?: boolean }
  rate_limits?: RateLimit[]
  fallback_config?: { enabled?: boolean }
  retry_config?: { max_retries?: number }
  timeout_config?: { first_byte_seconds?: number; idle_seconds?: number }
}
export interface Tag {
  key: string
  value?: string
}
export interface Endpoint {
  name: string
  id?: string
  creator?: string
  creation_timestamp?: number
  last_updated_timestamp?: number
  task?: string
  endpoint_type?: string
  description?: string
  permission_level?: string
  tags?: Tag[]
  state?: { ready?: string; config_update?: string; config_update_message?: string }
  config?: EndpointConfig
  pending_config?: EndpointConfig
  ai_gateway?: AiGateway
  recent?: RecentCalls
}
/** Of the last minute; JSON has large numbers as texts. */
export interface RecentCalls {
  requests?: string | number
  client_errors?: string | number
  server_errors?: string | number
  in_flight?: string | number
}
export interface ConfigVersion {
  config_version: number
  config?: EndpointConfig
  outcome: string
  outcome_message?: string
  creator?: string
  creation_timestamp?: number
}
export interface Difference {
  path: string
  from_value?: string
  to_value?: string
}
export interface Me {
  id: string
  userName: string
  displayName?: string
  groups?: { value: string; display: string }[]
}
export interface UsageRow {
  entry_id: string
  request_time: number
  databricks_request_id: string
  client_request_id: string | null
  endpoint_name: string
  served_entity_name: string | null
  requester: string
  task: string | null
  status_code: number | null
  state: string
  error: string | null
  input_token_count: number | null
  output_token_count: number | null
  cached_token_count: number | null
  token_counts_estimated: boolean
  latency_ms: number | null
  first_chunk_ms: number | null
  provider: string | null
  model: string | null
  cost: string | null
  currency: string | null
  request_streaming: boolean
  usage_context: Record<string, unknown>
  attempts: { served_entity_name: string; error: string; latency_ms: number }[]
}
export interface UsageTotal {
  requests: number
  failed_requests: number
  unknown_requests: number
  input_token_count: number | null
  output_token_count: number | null
  cached_token_count: number | null
  average_latency_ms: number | null
  errors?: number
  p50_latency_ms?: number | null
  p95_latency_ms?: number | null
  cost?: string | null
  currency?: string | null
  unpriced_requests?: number
  [group: string]: unknown
}
export interface TokenInfo {
  token_id: string
  comment?: string
  creation_time: number
  expiry_time: number
  created_by_username?: string
}
export interface AuditEvent {
  id: string
  time: number
  principal_name: string
  action: string
  object_type: string
  object_name: string
  outcome: string
  http_status: number
  error_code: string
  request_id: string
  source_address: string
  count: number
  details?: Record<string, unknown>
}
