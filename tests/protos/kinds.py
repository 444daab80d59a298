"""What kind of field each public field is: it has an effect, is refused, is told, or is ignored.

`test_fields` sees that every field has a kind, and that the tests named here exist and speak of it.
What can be read from the protos is not in a table.
"""

from collections.abc import Mapping

from google.api import field_behavior_pb2
from google.api.field_behavior_pb2 import field_behavior
from google.protobuf.descriptor import FieldDescriptor
from modelserving.v1.endpoint_pb2 import (
    DeploymentProgress,
    FoundationModel,
    ServedEntity,
    ServedModel,
)
from modelserving.v1.rollout_pb2 import DeploymentStep, RolloutEntity

from tests.protos.messages import answers, is_available, is_typed, name_of, requests

_EVERY = "tests/e2e/test_every_field.py::"
# Tests that show a kind for all fields that have it.
SHOWN_AT_ONCE = (
    f"{_EVERY}test_what_is_not_available_is_refused",
    f"{_EVERY}test_what_is_for_hosted_models_is_refused",
    f"{_EVERY}test_each_parameter_of_a_read_changes_its_answer",
    f"{_EVERY}test_each_field_of_an_answer_is_told",
    f"{_EVERY}test_what_is_output_only_is_ignored_in_what_clients_send_back",
    f"{_EVERY}test_what_is_ignored_changes_nothing",
    "tests/data_plane/hosts/typed/test_fields.py::test_every_field_goes_out_and_comes_in_as_json",
)

# Output only, in messages that requests hold too: told in answers, and ignored in requests, since
# clients send back what they got.
OUTPUT_ONLY = {
    name_of(field)
    for message in requests().values()
    for field in message.fields
    if field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior]
}

_LOGS = "tests/control_plane/hosting/test_model_logs.py::test_the_logs_of_a_version_are_read"
# Reads of what only a deployment has that hosts models, and who shows what their parameters do.
_CHUNKS = "tests/control_plane/hosting/test_throughput.py::"
READ_ELSEWHERE = {
    "GetServedModelBuildLogs": _LOGS,
    "GetServedModelLogs": _LOGS,
    "GetModelOptimizationInfo": f"{_CHUNKS}test_what_can_be_provisioned_is_told",
}

_ROLLOUTS = "tests/control_plane/endpoints/test_rollouts.py::"
# Of answers, what takes a state that the world of `test_every_field` is not in, and who shows it.
TOLD_ELSEWHERE: Mapping[str, str] = {
    "ServingEndpoint.pending_config": "tests/e2e/test_pending_updates.py::"
    "test_a_held_update_is_visible_exclusive_and_can_be_cancelled",
    "EndpointConfig.start_time": "tests/e2e/test_pending_updates.py::"
    "test_a_held_update_is_visible_exclusive_and_can_be_cancelled",
    **dict.fromkeys(
        ("EndpointState.config_update_message", "DeploymentState.deployment_state_message"),
        "tests/control_plane/endpoints/test_lifecycle.py::"
        "test_a_failed_update_keeps_the_old_configuration_and_says_why",
    ),
    **dict.fromkeys(
        ("Rollout.outcome_message", "RolloutWorker.message"),
        f"{_ROLLOUTS}test_who_refused_and_why_is_told_and_stays",
    ),
    "Rollout.deadline_time": f"{_ROLLOUTS}test_each_step_of_each_worker_is_told_live_and_stays",
    **dict.fromkeys(
        (
            "Rollout.entities",
            "DeploymentState.progress",
            *(
                name_of(field)
                for message in (RolloutEntity, DeploymentStep, DeploymentProgress)
                for field in message.DESCRIPTOR.fields
            ),
        ),
        f"{_ROLLOUTS}test_hosted_models_are_told_stage_by_stage",
    ),
    "LimitInUse.refused": "tests/control_plane/traffic/test_limit_use.py::"
    "test_refusals_are_of_this_minute_and_their_metric_of_all",
    "ServingEndpointConfigVersion.outcome_message": "tests/control_plane/endpoints/"
    "test_config_history.py::test_all_versions_are_listed_newest_first",
    "ServedModelLogs.logs": _LOGS,
    **dict.fromkeys(
        (
            "ModelOptimizationInfo.optimizable",
            "ModelOptimizationInfo.model_type",
            "ModelOptimizationInfo.throughput_chunk_size",
            "ModelOptimizationInfo.estimated",
        ),
        f"{_CHUNKS}test_what_can_be_provisioned_is_told",
    ),
    "ModelOptimizationInfo.reason": f"{_CHUNKS}test_what_cannot_be_is_told_with_the_reason",
    **dict.fromkeys(
        (
            "ListFoundationModelEndpointsResponse.endpoints",
            "ServingEndpoint.capabilities",
            "EndpointCapabilities.function_calling",
            "ServedEntity.foundation_model",
            "ServedModel.foundation_model",
            *(f"FoundationModel.{field.name}" for field in FoundationModel.DESCRIPTOR.fields),
        ),
        "tests/control_plane/hosting/test_foundation.py::"
        "test_it_is_there_for_everyone_as_the_mirrored_service_shows_it",
    ),
    **dict.fromkeys(
        (
            "EndpointConfig.auto_capture_config",
            "AutoCaptureConfig.state",
            "AutoCaptureState.payload_table",
            "PayloadTable.name",
            "PayloadTable.status",
        ),
        "tests/e2e/test_payload_tables.py::test_the_deprecated_configuration_means_the_same",
    ),
    **dict.fromkeys(
        ("ServingEndpoint.telemetry_config", "TelemetryInferenceTableConfig.name"),
        "tests/e2e/test_telemetry_tables.py::test_payloads_are_recorded_in_a_table_beside_the_log",
    ),
    "ValidateServingEndpointResponse.differences": "tests/control_plane/endpoints/test_trial.py::"
    "test_what_would_be_updated_is_told_and_nothing_changes",
    "ListSecretUsesResponse.other_uses": "tests/control_plane/secrets/test_scopes.py::"
    "test_who_uses_a_secret_is_told_as_far_as_one_may_see_it",
    **dict.fromkeys(
        (
            "ListSignInMethodsResponse.methods",
            "SignInMethod.issuer",
            "SignInMethod.label",
            "BeginSignInResponse.authorization_url",
        ),
        "tests/e2e/test_oauth.py::test_a_jwt_of_an_outside_issuer_is_a_sign_on",
    ),
    "AuditEvent.error_code": "tests/e2e/test_audit.py::test_each_refusal_is_an_event",
    **dict.fromkeys(
        (
            *(
                f"IssueTokenResponse.{name}"
                for name in ("access_token", "token_type", "expires_in")
            ),
            "IssueTokenResponse.scope",
        ),
        "tests/control_plane/identity/test_oauth.py::"
        "test_a_secret_is_exchanged_for_a_token_of_its_service_principal",
    ),
    **dict.fromkeys(
        (
            "AuthorizationServer.issuer",
            "AuthorizationServer.token_endpoint",
            "AuthorizationServer.jwks_uri",
            "AuthorizationServer.grant_types_supported",
            "AuthorizationServer.token_endpoint_auth_methods_supported",
            "AuthorizationServer.scopes_supported",
            "AuthorizationServer.response_types_supported",
            "JsonWebKeySet.keys",
            *(f"JsonWebKey.{name}" for name in ("kty", "crv", "x", "kid", "alg", "use")),
        ),
        "tests/e2e/test_oauth.py::test_discovery",
    ),
}

# Of answers, what is always false: clients look at it, and there is nothing that could be true.
ALWAYS_FALSE = {"ServingEndpoint.route_optimized", "EndpointState.system_update_failure"}

# Never told, since the call is refused to everyone.
UNTOLD: Mapping[str, str] = dict.fromkeys(
    ("GetSecretResponse.key", "GetSecretResponse.value"),
    "tests/e2e/test_secrets.py::test_values_are_not_returned_to_the_sdk",
)


def output_fields() -> set[str]:
    """Return the fields that only answers hold, or that are output only."""
    asked = requests()
    told = {
        name_of(field)
        for name, message in answers().items()
        if name not in asked
        for field in message.fields
        if not is_typed(field)
    }
    return told | OUTPUT_ONLY


def _hosted() -> Mapping[str, FieldDescriptor]:
    """Return the fields of hosted models, of which there are none."""
    other = {"name", "external_model"}
    fields: list[FieldDescriptor] = [
        *ServedEntity.DESCRIPTOR.fields,
        *ServedModel.DESCRIPTOR.fields,
    ]
    return {
        name_of(field): field
        for field in fields
        if field.name not in other and is_available(field) and name_of(field) not in OUTPUT_ONLY
    }


HOSTED = _hosted()
