import json
from contextlib import nullcontext

import pytest
from google.protobuf import json_format
from modelserving.v1.external_model_pb2 import ExternalModel
from modelserving.v1.rules_pb2 import provider_rules

from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.registry import build_adapter
from modelplane.control_plane.endpoints.provider_rules import PROVIDERS, TASKS, check_external_model
from modelplane.control_plane.errors import InvalidParameter
from tests.emulators.google_cloud_vertex_ai.keys import PEM

REFERENCE = "{{secrets/scope/key}}"
AZURE = {
    "openai_api_base": "https://mine.openai.azure.com",
    "openai_api_version": "2023-05-15",
    "openai_deployment_name": "d",
}
ENTRA = {
    "openai_api_type": "azuread",
    "microsoft_entra_tenant_id": "t",
    "microsoft_entra_client_id": "c",
    "microsoft_entra_client_secret": REFERENCE,
}
AWS_KEYS = {"aws_access_key_id": REFERENCE, "aws_secret_access_key": REFERENCE}
BEDROCK = {"aws_region": "us-east-1", "bedrock_provider": "Anthropic"}
CUSTOM = {"custom_provider_url": "http://10.0.0.1:8000/v1/chat/completions"}
CHAT = "llm/v1/chat"
_ENTRA_SECRET = "microsoft_entra_client_secret_plaintext"

# Provider, field of its configuration, and a complete configuration.
COMPLETE: list[tuple[str, str, dict[str, object]]] = [
    ("openai", "openai_config", {"openai_api_key": REFERENCE}),
    ("openai", "openai_config", {"openai_api_type": "openai", "openai_api_key_plaintext": "k"}),
    ("openai", "openai_config", {"openai_api_type": "Azure", "openai_api_key": REFERENCE, **AZURE}),
    ("openai", "openai_config", {**ENTRA, **AZURE}),
    ("anthropic", "anthropic_config", {"anthropic_api_key": REFERENCE}),
    ("cohere", "cohere_config", {"cohere_api_key": REFERENCE}),
    ("ai21labs", "ai21labs_config", {"ai21labs_api_key": REFERENCE}),
    ("amazon-bedrock", "amazon_bedrock_config", {**BEDROCK, **AWS_KEYS}),
    (
        "amazon-bedrock",
        "amazon_bedrock_config",
        {**BEDROCK, "instance_profile_arn": "arn:aws:iam::123456789012:role/r"},
    ),
    (
        "google-cloud-vertex-ai",
        "google_cloud_vertex_ai_config",
        {"private_key": REFERENCE, "project_id": "p", "region": "r"},
    ),
    (
        "databricks-model-serving",
        "databricks_model_serving_config",
        {"databricks_api_token": REFERENCE, "databricks_workspace_url": "https://x.example.com"},
    ),
    ("custom", "custom_provider_config", {**CUSTOM, "bearer_token_auth": {"token": REFERENCE}}),
    (
        "custom",
        "custom_provider_config",
        {**CUSTOM, "api_key_auth": {"key": "x-key", "value_plaintext": "v"}},
    ),
]


def model(provider: str, field: str, config: dict[str, object], **rest: str) -> ExternalModel:
    fields = {"name": "m", "provider": provider, "task": CHAT, field: config, **rest}
    return json_format.ParseDict(fields, ExternalModel())


def refusal(external: ExternalModel) -> str:
    with pytest.raises(InvalidParameter) as caught:
        check_external_model(external)
    return str(caught.value)


@pytest.mark.parametrize(("provider", "field", "config"), COMPLETE)
def test_complete_configurations_pass(provider: str, field: str, config: dict[str, object]) -> None:
    check_external_model(model(provider, field, config))


def test_every_provider_of_the_proto_is_tested() -> None:
    assert {provider for provider, _, _ in COMPLETE} == set(PROVIDERS)


@pytest.mark.parametrize(("provider", "field", "config"), COMPLETE)
def test_every_part_of_a_configuration_is_needed(
    provider: str, field: str, config: dict[str, object]
) -> None:
    optional = {"openai_api_type", "instance_profile_arn"}
    for name in config.keys() - optional:
        left = {key: value for key, value in config.items() if key != name}
        assert name.removesuffix("_plaintext") in refusal(model(provider, field, left))
        if isinstance(config[name], str):
            assert name.removesuffix("_plaintext") in refusal(
                model(provider, field, {**config, name: ""})
            )


@pytest.mark.parametrize(
    "key",
    [
        "-----BEGIN PRIVATE KEY-----",
        "[]",
        '"text"',
        "{}",
        '{"private_key": "k"}',
        '{"private_key": "k", "client_email": ""}',
        '{"private_key": "k", "client_email": "me@example.com"}',
        '{"private_key": 7, "client_email": "me@example.com"}',
    ],
)
def test_a_key_file_must_be_whole(key: str) -> None:
    config: dict[str, object] = {"private_key_plaintext": key, "project_id": "p", "region": "r"}
    name = "google_cloud_vertex_ai_config"
    message = refusal(model("google-cloud-vertex-ai", name, config))
    assert message == (
        f"{name}.private_key_plaintext must be the whole key file, a JSON object with "
        '"client_email" and "private_key", where "private_key" is an RSA key in PEM.'
    )


def test_a_whole_key_file_passes() -> None:
    key = json.dumps({"private_key": PEM, "client_email": "me@example.com"})
    config: dict[str, object] = {"private_key_plaintext": key, "project_id": "p", "region": "r"}
    check_external_model(model("google-cloud-vertex-ai", "google_cloud_vertex_ai_config", config))


@pytest.mark.parametrize("name", ["name", "provider", "task"])
def test_name_provider_and_task_are_required(name: str) -> None:
    external = model("openai", "openai_config", {"openai_api_key": REFERENCE})
    setattr(external, name, "")
    assert refusal(external) == f"external_model.{name} is required; set it."


def test_an_unknown_provider_is_told_the_known_ones() -> None:
    message = refusal(model("palm", "openai_config", {"openai_api_key": REFERENCE}))
    assert "'palm' is unknown" in message
    assert all(provider in message for provider in PROVIDERS)


def test_an_unknown_task_is_told_the_known_ones() -> None:
    external = model("openai", "openai_config", {"openai_api_key": REFERENCE}, task="llm/v2/chat")
    assert TASKS == (CHAT, "llm/v1/completions", "llm/v1/embeddings")
    assert all(task in refusal(external) for task in ("llm/v2/chat", *TASKS))


def test_a_provider_serves_only_its_tasks() -> None:
    config: dict[str, object] = {"anthropic_api_key": REFERENCE}
    external = model("anthropic", "anthropic_config", config, task="llm/v1/embeddings")
    assert "'anthropic' does not serve the task 'llm/v1/embeddings'" in refusal(external)


def test_the_configuration_is_the_provider_s_own() -> None:
    other = model("anthropic", "openai_config", {"openai_api_key": REFERENCE})
    assert "external_model.anthropic_config, not openai_config" in refusal(other)
    none = ExternalModel(name="m", provider="anthropic", task=CHAT)
    assert refusal(none).endswith("configured in external_model.anthropic_config.")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            {"openai_api_key": REFERENCE, "openai_api_key_plaintext": "sk"},
            "Both openai_config.openai_api_key and openai_config.openai_api_key_plaintext",
        ),
        (
            {
                "openai_api_key": REFERENCE,
                "microsoft_entra_client_secret": REFERENCE,
                "microsoft_entra_client_secret_plaintext": "s",
            },
            "Both openai_config.microsoft_entra_client_secret",
        ),
        ({"openai_api_key": REFERENCE, "openai_api_type": "gcp"}, "'azure', 'azuread'"),
        ({"openai_api_key": REFERENCE, "openai_api_base": "api.openai.com"}, "a whole URL"),
        ({"openai_api_key": REFERENCE, "openai_api_base": "ftp://x"}, "a whole URL"),
        ({"openai_api_key": REFERENCE, "openai_api_base": "https://x:port"}, "a whole URL"),
        ({"openai_api_key": REFERENCE, "openai_api_base": "https://[x"}, "a whole URL"),
    ],
)
def test_what_is_refused(config: dict[str, object], words: str) -> None:
    assert words in refusal(model("openai", "openai_config", config))


def test_a_value_outside_a_closed_set_is_told_the_set() -> None:
    config: dict[str, object] = {**BEDROCK, **AWS_KEYS, "bedrock_provider": "acme"}
    message = refusal(model("amazon-bedrock", "amazon_bedrock_config", config))
    assert "bedrock_provider 'acme' is unknown; use one of 'anthropic'" in message


def test_exactly_one_of_the_ways_to_authenticate() -> None:
    both: dict[str, object] = {
        **CUSTOM,
        "bearer_token_auth": {"token": REFERENCE},
        "api_key_auth": {"key": "x", "value": REFERENCE},
    }
    for config in (both, CUSTOM):
        message = refusal(model("custom", "custom_provider_config", dict(config)))
        assert "exactly one of custom_provider_config.bearer_token_auth and " in message


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ({"bearer_token_auth": {}}, "bearer_token_auth.token_plaintext"),
        ({"api_key_auth": {"value": REFERENCE}}, "api_key_auth.key is required"),
        ({"api_key_auth": {"key": "x"}}, "api_key_auth.value_plaintext"),
    ],
)
def test_the_chosen_way_to_authenticate_is_complete(auth: dict[str, object], words: str) -> None:
    assert words in refusal(model("custom", "custom_provider_config", {**CUSTOM, **auth}))


@pytest.mark.parametrize(
    ("config", "unused"),
    [
        ({"openai_api_key": REFERENCE}, "microsoft_entra_tenant_id"),
        ({"openai_api_key": REFERENCE}, "openai_deployment_name"),
        ({"openai_api_type": "azure", "openai_api_key": REFERENCE, **AZURE}, _ENTRA_SECRET),
        ({**ENTRA, **AZURE}, "openai_api_key"),
    ],
)
def test_what_only_another_type_uses_is_refused(config: dict[str, object], unused: str) -> None:
    check_external_model(model("openai", "openai_config", config))
    told = refusal(model("openai", "openai_config", {**config, unused: "x"}))
    assert f"openai_config.{unused} has no effect" in told
    assert "openai_api_type" in told


BEDROCK_KEYS: dict[str, object] = {
    **BEDROCK,
    "aws_access_key_id_plaintext": "a",
    "aws_secret_access_key_plaintext": "b",
}
VERTEX: dict[str, object] = {
    "project_id": "p",
    "region": "us-central1",
    "private_key_plaintext": json.dumps({"private_key": PEM, "client_email": "a@example.com"}),
}
WORKSPACE: dict[str, object] = {
    "databricks_api_token_plaintext": "t",
    "databricks_workspace_url": "https://ws.example.com",
}
_OWN: dict[str, tuple[str, dict[str, object], str]] = {
    "amazon-bedrock": ("amazon_bedrock_config", BEDROCK_KEYS, "claude-v2"),
    "google-cloud-vertex-ai": ("google_cloud_vertex_ai_config", VERTEX, "gemini-2.5-pro"),
    "databricks-model-serving": ("databricks_model_serving_config", WORKSPACE, "m"),
    "openai": ("openai_config", {"openai_api_key_plaintext": "k"}, "gpt-4"),
    "custom": (
        "custom_provider_config",
        {**CUSTOM, "api_key_auth": {"key": "x-key", "value_plaintext": "v"}},
        "m",
    ),
}
_VERTEX_FAMILIES = (
    *("gemini-2.5-pro", "gemini-embedding-2", "gemini-embedding-001", "text-embedding-005"),
    *("multimodalembedding", "text-multilingual-embedding-002", "claude-sonnet-4", "chat-bison"),
    *("codechat-bison", "text-bison", "text-unicorn", "code-bison", "code-gecko", "my-tuned-model"),
)


def auth(key: str) -> dict[str, object]:
    return {"api_key_auth": {"key": key, "value_plaintext": "v"}}


@pytest.mark.parametrize(
    ("provider", "changes", "task", "accepted"),
    [
        ("amazon-bedrock", {}, CHAT, True),
        ("amazon-bedrock", {}, "llm/v1/embeddings", False),
        ("amazon-bedrock", {"bedrock_provider": "AI21labs"}, "llm/v1/embeddings", False),
        ("amazon-bedrock", {"bedrock_provider": "meta"}, "llm/v1/embeddings", False),
        ("amazon-bedrock", {"bedrock_provider": "cohere"}, "llm/v1/embeddings", True),
        ("amazon-bedrock", {"bedrock_provider": "amazon"}, "llm/v1/embeddings", True),
        ("amazon-bedrock", {"aws_region": "US-EAST-1"}, CHAT, True),
        ("amazon-bedrock", {"aws_region": "us-gov-west-1"}, CHAT, True),
        ("amazon-bedrock", {"aws_region": "x.evil.com/"}, CHAT, False),
        ("amazon-bedrock", {"aws_region": "us-east"}, CHAT, False),
        ("google-cloud-vertex-ai", {}, CHAT, True),
        ("google-cloud-vertex-ai", {"region": "global"}, CHAT, True),
        ("google-cloud-vertex-ai", {"region": "US-CENTRAL1"}, CHAT, False),
        ("google-cloud-vertex-ai", {"region": " us-central1"}, CHAT, False),
        ("google-cloud-vertex-ai", {"region": "x.evil.com/"}, CHAT, False),
        ("google-cloud-vertex-ai", {"project_id": "a/b"}, CHAT, False),
        ("google-cloud-vertex-ai", {"private_key_plaintext": " \n"}, CHAT, False),
        ("databricks-model-serving", {}, CHAT, True),
        (
            "databricks-model-serving",
            {"databricks_workspace_url": "https://ws.example.com/serving-endpoints"},
            CHAT,
            False,
        ),
        (
            "databricks-model-serving",
            {"databricks_workspace_url": "https://ws.example.com/"},
            CHAT,
            True,
        ),
        ("openai", {"openai_api_key_plaintext": " \n"}, CHAT, False),
        ("openai", {"openai_api_key_plaintext": "a\nb"}, CHAT, False),
        ("openai", {"openai_api_key_plaintext": "schlüssel"}, CHAT, False),
        ("custom", auth("x-key"), CHAT, True),
        ("custom", auth(" X-Key "), CHAT, True),
        ("custom", auth("x-hosts"), CHAT, True),
        ("custom", auth("x key"), CHAT, False),
        ("custom", auth("x" * 65), CHAT, False),
        ("custom", auth(" Content-Type "), CHAT, False),
        ("custom", auth("host"), CHAT, False),
        ("custom", auth("proxy-connection"), CHAT, False),
    ],
)
def test_what_a_worker_would_refuse_is_refused_at_once(
    provider: str, changes: dict[str, object], task: str, *, accepted: bool
) -> None:
    field, config, name = _OWN[provider]
    external = model(provider, field, {**config, **changes}, task=task, name=name)
    with nullcontext() if accepted else pytest.raises(ConfigRefused):
        build_adapter(external)
    with nullcontext() if accepted else pytest.raises(InvalidParameter):
        check_external_model(external)


@pytest.mark.parametrize("key", ["sk-1\n", " sk-1\r\n"])
def test_a_line_end_around_a_key_is_let_pass(key: str) -> None:
    check_external_model(model("openai", "openai_config", {"openai_api_key_plaintext": key}))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "name",
    [
        *(family + end for family in _VERTEX_FAMILIES for end in ("", "-1@001")),
        *("google/gemini-2.5-pro", "publishers/google/models/gemini-2.5-pro", "publishers/gemini"),
        *(
            "anthropic/claude-3",
            "publishers/anthropic/models/claude-3",
            "google/text-embedding-005",
        ),
        *(
            "meta/llama-3",
            "google/a/b",
            "publishers/meta/models/llama-3",
            "models/gemini",
            "google/",
        ),
        *("endpoints/123", "endpoints/mine", "projects/p/locations/l/endpoints/1", "projects/p/x"),
        *(f"projects/p/locations/l/publishers/{model}" for model in ("g/models/embedding-1", "g")),
    ],
)
def test_a_model_of_vertex_ai_serves_what_a_worker_says(name: str, task: str) -> None:
    external = model(
        "google-cloud-vertex-ai", "google_cloud_vertex_ai_config", VERTEX, task=task, name=name
    )
    try:
        build_adapter(external)
    except ConfigRefused:
        assert "name" in refusal(external)
    else:
        check_external_model(external)


def _suggested() -> list[tuple[str, str, str]]:
    arms = ExternalModel.DESCRIPTOR.oneofs_by_name["provider_config"].fields
    messages = [arm.message_type for arm in arms if arm.message_type]
    declared = [message.GetOptions().Extensions[provider_rules] for message in messages]
    return [
        (rules.provider, item.task, name)
        for rules in declared
        for item in rules.suggested_models
        for name in item.names
    ]


@pytest.mark.parametrize(("provider", "task", "name"), _suggested())
def test_what_a_form_suggests_is_taken(provider: str, task: str, name: str) -> None:
    field, config = next((field, config) for one, field, config in COMPLETE if one == provider)
    if provider == "amazon-bedrock":
        config = {**config, "bedrock_provider": name.partition(".")[0]}
    given = model(provider, field, config, name=name, task=task)
    check_external_model(given)
