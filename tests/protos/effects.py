"""Which test shows the effect of each field of a request; and the fields that are ignored, and why.

Of fields whose kind can be read from the protos, `kinds` knows the test.
"""

from collections.abc import Mapping

_E2E = "tests/e2e"
_CONTROL_PLANE = "tests/control_plane"

# Tests, with the fields of each message whose effect they show.
EFFECTS: Mapping[str, Mapping[str, str]] = {
    # Endpoints and their configurations.
    "tests/requirements/test_create_endpoints.py::test_rest_example_answers_queries": {
        "CreateServingEndpointRequest": "name config",
        "EndpointConfigInput": "served_entities",
        "ServedEntity": "name external_model",
    },
    f"{_E2E}/test_databricks_sdk.py::test_settings_of_an_endpoint": {
        "CreateServingEndpointRequest": "description",
        "PatchServingEndpointTagsRequest": "add_tags delete_tags",
    },
    f"{_E2E}/test_usage.py::test_a_query_becomes_a_row": {
        "CreateServingEndpointRequest": "tags ai_gateway",
        "AiGatewayConfig": "usage_tracking_config",
        "UsageTrackingConfig": "enabled",
    },
    f"{_CONTROL_PLANE}/usage/test_prices.py::test_costs_are_exact": {
        "PutPricesRequest": "prices",
        "Price": "provider model input_per_million output_per_million cached_input_per_million",
    },
    f"{_CONTROL_PLANE}/usage/test_prices.py::test_prices_are_told_in_order_as_they_were_given": {
        "Price": "currency from_time"
    },
    f"{_CONTROL_PLANE}/usage/test_reader.py::test_rows_keep_the_tags_of_their_time": {
        "EndpointTag": "key value"
    },
    f"{_E2E}/test_rules.py::test_an_unknown_endpoint": {
        "DeleteServingEndpointRequest": "name",
        "UpdateServingEndpointConfigRequest": "name",
        "CancelServingEndpointUpdateRequest": "name",
        "StopServingEndpointRequest": "name",
        "StartServingEndpointRequest": "name",
        "RollbackServingEndpointConfigRequest": "name",
        "PatchServingEndpointTagsRequest": "name",
        "PutServingEndpointRateLimitsRequest": "name",
        "PutServingEndpointAiGatewayRequest": "name",
        "PutServingEndpointPoliciesRequest": "name",
        "PatchServingEndpointNotificationsRequest": "name",
        "PatchServingEndpointTelemetryConfigRequest": "name",
    },
    f"{_E2E}/test_versions.py::test_each_update_is_a_new_version_and_serves_at_once": {
        "UpdateServingEndpointConfigRequest": "config"
    },
    f"{_CONTROL_PLANE}/endpoints/test_kept_credentials.py::"
    "test_a_kept_credential_serves_on_and_is_sealed_anew": {
        "EndpointConfigInput": "keep_credentials_of"
    },
    f"{_E2E}/test_versions.py::test_history_compare_and_rollback": {
        "RollbackServingEndpointConfigRequest": "config_version"
    },
    f"{_E2E}/test_versions.py::test_a_new_split_alone": {
        "EndpointConfigInput": "traffic_config",
        "TrafficConfig": "routes",
        "Route": "traffic_percentage",
    },
    f"{_CONTROL_PLANE}/endpoints/test_config_input.py::test_a_route_is_spelled_in_both_ways": {
        "Route": "served_model_name served_entity_name"
    },
    f"{_E2E}/test_rules.py::test_models_in_the_deprecated_spelling_are_served": {
        "EndpointConfigInput": "served_models",
        "ServedModel": "name external_model",
    },
    f"{_CONTROL_PLANE}/endpoints/test_trial.py::test_it_is_one_call_and_no_other": {
        "ValidateServingEndpointRequest": "create update",
    },
    # External models.
    "tests/requirements/test_documented_fields.py::test_the_fields_reach_the_provider": {
        "ExternalModel": "name provider task openai_config anthropic_config cohere_config "
        "ai21labs_config amazon_bedrock_config google_cloud_vertex_ai_config "
        "databricks_model_serving_config",
        "OpenAiConfig": "openai_api_key openai_api_key_plaintext openai_api_type openai_api_base "
        "openai_api_version openai_organization openai_deployment_name microsoft_entra_tenant_id "
        "microsoft_entra_client_id microsoft_entra_client_secret "
        "microsoft_entra_client_secret_plaintext",
        "AnthropicConfig": "anthropic_api_key anthropic_api_key_plaintext",
        "CohereConfig": "cohere_api_key cohere_api_key_plaintext cohere_api_base",
        "Ai21LabsConfig": "ai21labs_api_key ai21labs_api_key_plaintext",
        "AmazonBedrockConfig": "aws_region aws_access_key_id aws_access_key_id_plaintext "
        "aws_secret_access_key aws_secret_access_key_plaintext bedrock_provider aws_session_token "
        "aws_session_token_plaintext",
        "GoogleCloudVertexAiConfig": "private_key private_key_plaintext project_id region",
        "DatabricksModelServingConfig": "databricks_api_token databricks_api_token_plaintext "
        "databricks_workspace_url",
    },
    "tests/adapters/providers/amazon_bedrock/test_credentials.py::test_a_role_is_assumed": {
        "AmazonBedrockConfig": "instance_profile_arn"
    },
    f"{_E2E}/test_request_fields.py::test_a_custom_provider_is_reached_with_its_credential": {
        "ExternalModel": "custom_provider_config",
        "CustomProviderConfig": "custom_provider_url bearer_token_auth api_key_auth",
        "BearerTokenAuth": "token token_plaintext",
        "ApiKeyAuth": "key value value_plaintext",
    },
    # Limits and the AI Gateway.
    f"{_E2E}/test_limits.py::test_a_limit_holds_over_both_workers": {
        "CreateServingEndpointRequest": "rate_limits",
        "PutServingEndpointRateLimitsRequest": "rate_limits",
        "PutServingEndpointAiGatewayRequest": "ai_gateway",
        "AiGatewayConfig": "rate_limits",
        "AiGatewayRateLimit": "calls",
        "RateLimit": "calls",
    },
    f"{_E2E}/test_limits.py::test_limits_of_users_groups_and_service_principals": {
        "AiGatewayRateLimit": "key principal"
    },
    f"{_E2E}/test_limits.py::test_a_stream_that_uses_up_the_tokens_ends_with_its_reason": {
        "AiGatewayRateLimit": "tokens"
    },
    "tests/data_plane/snapshots/test_limits.py::"
    "test_the_deprecated_limits_count_together_with_those_of_the_gateway": {"RateLimit": "key"},
    f"{_E2E}/test_rules.py::test_refused_settings": {
        "AiGatewayRateLimit": "renewal_period",
        "RateLimit": "renewal_period",
    },
    f"{_E2E}/test_fallbacks.py::test_another_entity_answers": {
        "AiGatewayConfig": "fallback_config retry_config",
        "FallbackConfig": "enabled",
        "RetryConfig": "max_retries",
    },
    f"{_E2E}/test_payload_tables.py::test_calls_become_rows": {
        "AiGatewayConfig": "inference_table_config",
        "InferenceTableConfig": "enabled catalog_name schema_name",
    },
    f"{_E2E}/test_payload_tables.py::test_a_table_is_one_endpoints": {
        "InferenceTableConfig": "table_name_prefix"
    },
    f"{_E2E}/test_payload_tables.py::test_failed_calls_are_rows_whatever_the_sampling": {
        "InferenceTableConfig": "sampling_fraction"
    },
    f"{_E2E}/test_payload_tables.py::test_requests_are_recorded_as_guardrails_let_them_pass": {
        "InferenceTableConfig": "redact"
    },
    f"{_E2E}/test_payload_tables.py::test_the_deprecated_configuration_means_the_same": {
        "EndpointConfigInput": "auto_capture_config",
        "AutoCaptureConfig": "enabled catalog_name schema_name table_name_prefix",
    },
    f"{_E2E}/test_telemetry_tables.py::test_a_call_is_spans_a_record_and_points": {
        "PatchServingEndpointTelemetryConfigRequest": "telemetry_config",
        "TelemetryConfig": "table_names",
        "UnityCatalogTableNames": "logs_table metrics_table traces_table",
    },
    f"{_E2E}/test_telemetry_tables.py::test_payloads_are_recorded_in_a_table_beside_the_log": {
        "CreateServingEndpointRequest": "telemetry_config",
        "TelemetryConfig": "enabled_telemetry_features inference_table_config",
        "TelemetryInferenceTableConfig": "sampling_fraction",
    },
    f"{_E2E}/test_fallbacks.py::test_a_stalled_upstream_is_left_in_time": {
        "AiGatewayConfig": "timeout_config",
        "TimeoutConfig": "first_byte_seconds",
    },
    "tests/data_plane/upstreams/test_attempts.py::"
    "test_an_endpoint_may_bound_the_pauses_of_a_stream": {"TimeoutConfig": "idle_seconds"},
    f"{_E2E}/test_guardrails.py::test_requests_and_answers_are_looked_through": {
        "AiGatewayConfig": "guardrails",
        "Guardrails": "input output",
        "GuardrailParameters": "pii invalid_keywords",
        "PiiGuardrail": "behavior",
    },
    f"{_E2E}/test_guardrails.py::test_policies_hold_and_are_tried": {
        "PutServingEndpointPoliciesRequest": "policies",
        "CheckGuardrailsRequest": "payload",
        "GuardrailPolicy": "name action pii keywords",
        "PiiDetector": "entities",
        "KeywordDetector": "words",
        "GuardrailParameters": "safety",
        "Guardrails": "judge",
        "GuardrailJudge": "endpoint_name form",
    },
    "tests/data_plane/guardrails/test_policies.py::test_the_lowest_rank_gives_its_name": {
        "GuardrailPolicy": "rank"
    },
    "tests/data_plane/guardrails/test_policies.py::"
    "test_what_is_logged_is_in_the_row_and_in_metrics": {"GuardrailPolicy": "mode phases"},
    "tests/data_plane/guardrails/test_policies.py::test_a_policy_holds_not_for_the_exempt": {
        "GuardrailPolicy": "exempt"
    },
    "tests/data_plane/guardrails/test_policies.py::test_a_policy_holds_for_a_share_of_the_calls": {
        "GuardrailPolicy": "sampling_fraction"
    },
    "tests/data_plane/guardrails/test_policies.py::test_what_cannot_be_read_passes_or_not": {
        "GuardrailPolicy": "unscannable"
    },
    "tests/data_plane/guardrails/test_policies.py::"
    "test_arguments_of_tools_get_values_and_stay_json": {
        "GuardrailPolicy": "patterns",
        "PatternDetector": "expressions",
    },
    "tests/data_plane/test_checking.py::test_what_would_be_done_is_told_with_its_place": {
        "PatternDetector": "entity"
    },
    "tests/data_plane/guardrails/test_judges.py::test_what_a_judge_flags_does_not_pass": {
        "GuardrailPolicy": "judge"
    },
    "tests/data_plane/guardrails/test_judges.py::test_topics_are_judged_in_words": {
        "GuardrailParameters": "valid_topics"
    },
    "tests/data_plane/guardrails/test_judges.py::test_a_plain_judge_is_told_what_must_not_pass": {
        "GuardrailJudge": "instructions valid_topics"
    },
    "tests/data_plane/guardrails/test_judges.py::test_a_judge_has_a_deadline": {
        "GuardrailJudge": "timeout_seconds"
    },
    "tests/data_plane/guardrails/test_judges.py::"
    "test_without_a_verdict_all_passes_where_that_is_wanted": {"GuardrailJudge": "on_error"},
    # Queries, whose payload is the caller's JSON.
    "tests/requirements/test_multiple_models.py::"
    "test_query_of_one_served_model_ignores_the_split": {
        "QueryRequest": "name served_model_name payload"
    },
    f"{_E2E}/test_openai_client.py::test_chat": {"OpenAiRequest": "payload"},
    f"{_E2E}/test_openai_client.py::test_models": {"GetModelRequest": "name"},
    # Permissions.
    f"{_E2E}/test_permissions.py::test_the_sdk_reads_sets_and_updates_permissions": {
        "SetPermissionsRequest": "request_object_id access_control_list",
        "UpdatePermissionsRequest": "request_object_id access_control_list",
        "AccessControlRequest": "user_name group_name service_principal_name permission_level",
        # Of the service principal that gets a permission by the identifier that it was made with.
        "ServicePrincipal": "application_id",
    },
    f"{_E2E}/test_permissions.py::test_objects_that_have_no_permissions_are_told_apart": {
        "SetPermissionsRequest": "request_object_type",
        "UpdatePermissionsRequest": "request_object_type",
    },
    # Secrets.
    f"{_E2E}/test_secrets.py::test_the_sdk_manages_who_may_use_a_scope": {
        "CreateScopeRequest": "scope",
        "DeleteScopeRequest": "scope",
        "PutSecretRequest": "scope key",
        "PutAclRequest": "scope principal permission",
        "DeleteAclRequest": "scope principal",
    },
    f"{_E2E}/test_request_fields.py::test_a_scope_may_be_everyones": {
        "CreateScopeRequest": "initial_manage_principal scope_backend_type"
    },
    f"{_E2E}/test_request_fields.py::test_a_secret_may_be_text_or_bytes": {
        "PutSecretRequest": "string_value bytes_value"
    },
    f"{_E2E}/test_databricks_sdk.py::test_secrets": {"DeleteSecretRequest": "scope key"},
    # Identities, tokens and client secrets.
    f"{_E2E}/test_identities.py::test_life_of_a_user": {
        "CreateUserRequest": "user",
        "ReplaceUserRequest": "id user",
        "PatchUserRequest": "id patch",
        "DeleteUserRequest": "id",
        "User": "user_name display_name active",
    },
    f"{_E2E}/test_request_fields.py::test_a_person_is_shown_by_the_parts_of_their_name": {
        "User": "name",
        "PersonName": "formatted given_name family_name",
    },
    f"{_E2E}/test_identities.py::test_life_of_a_service_principal": {
        "CreateServicePrincipalRequest": "service_principal",
        "ReplaceServicePrincipalRequest": "id service_principal",
        "PatchServicePrincipalRequest": "id patch",
        "DeleteServicePrincipalRequest": "id",
        "ServicePrincipal": "display_name",
    },
    f"{_E2E}/test_identities.py::test_every_change_holds_on_every_worker_at_once": {
        "ServicePrincipal": "active"
    },
    f"{_E2E}/test_identities.py::test_life_of_a_group": {
        "CreateGroupRequest": "group",
        "DeleteGroupRequest": "id",
        "Group": "display_name members",
    },
    f"{_E2E}/test_identities.py::test_members_of_a_group": {
        "ReplaceGroupRequest": "id group",
        "PatchGroupRequest": "id patch",
        "Patch": "operations",
        "PatchOperation": "op path value",
        "Reference": "value",
    },
    f"{_E2E}/test_request_fields.py::test_what_a_token_is_made_with": {
        "CreateTokenRequest": "comment lifetime_seconds scopes autoscope_enabled",
        "CreateOnBehalfOfTokenRequest": "application_id comment lifetime_seconds scopes "
        "autoscope_enabled",
        "DeleteTokenRequest": "token_id",
    },
    f"{_E2E}/test_oauth.py::test_a_jwt_of_an_outside_issuer_is_a_sign_on": {
        "BeginSignInRequest": "issuer code_challenge state",
        "CompleteSignInRequest": "issuer code code_verifier",
    },
    f"{_E2E}/test_sessions.py::test_signing_out_holds_on_every_worker": {
        "DeleteSessionRequest": "session_id"
    },
    f"{_E2E}/test_identities.py::test_management_of_tokens": {
        "DeleteManagedTokenRequest": "token_id"
    },
    f"{_E2E}/test_request_fields.py::test_what_a_client_secret_is_made_with": {
        "CreateClientSecretRequest": "service_principal_id lifetime scopes",
        "DeleteClientSecretRequest": "service_principal_id secret_id",
    },
    f"{_CONTROL_PLANE}/identity/test_oauth.py::test_both_ways_to_send_a_secret_are_read": {
        "IssueTokenRequest": "form"
    },
    f"{_CONTROL_PLANE}/ui/test_ui_servicer.py::test_no_other_path_is_a_file": {
        "GetUiFileRequest": "path"
    },
}

# Fields that change nothing, which `test_every_field` shows, with the reason.
IGNORED: Mapping[str, str] = {
    "EndpointConfigInput.name": "clients repeat the endpoint's name, as the mirrored API lets them",
    "ListClientSecretsRequest.page_size": "all five that there can be fit on one page",
    "Patch.schemas": "they say that it is a patch, which the route says too (RFC 7644, 3.5.2)",
}
