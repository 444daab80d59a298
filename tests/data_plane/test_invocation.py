import json
import logging

import pytest
from modelserving.v1.endpoint_pb2 import ServedEntity
from modelserving.worker.v1.snapshot_pb2 import PERMISSION_LEVEL_CAN_VIEW, Grant

from tests.data_plane.conftest import WALL_MS, System
from tests.data_plane.messages import (
    COMPLETIONS,
    EMBEDDINGS,
    endpoint,
    endpoint_config,
    principal,
    snapshot,
    token,
)
from tests.emulators.openai import API_KEY

HELLO = {"messages": [{"role": "user", "content": "hello there"}]}


@pytest.fixture
async def served(system: System) -> System:
    """A system with a chat, a completions, an embeddings and an endpoint without configuration."""
    completion = system.entity("text", task=COMPLETIONS, model="gpt-3.5-turbo-instruct")
    embedding = system.entity("vector", task=EMBEDDINGS, model="text-embedding-3-small")
    await system.apply(
        snapshot(
            1,
            endpoint(
                "chat",
                endpoint_config(system.entity("served-gpt"), version=7),
                grants=[Grant(grantee_id="id-viewer", level=PERMISSION_LEVEL_CAN_VIEW)],
            ),
            endpoint("completions", endpoint_config(completion)),
            endpoint("embeddings", endpoint_config(embedding)),
            endpoint("new"),
            tokens=(
                token(),
                token("expired-token", id="token-2", expiry_ms=int(WALL_MS)),
                token("viewer-token", id="token-3", principal_id="id-viewer"),
                token("stranger-token", id="token-4", principal_id="id-stranger"),
                token("orphan-token", id="token-5", principal_id="id-nobody"),
            ),
            principals=(
                principal(),
                principal("viewer"),
                principal("stranger"),
            ),
        )
    )
    return system


async def test_a_chat_query_reaches_the_model_and_comes_back(served: System) -> None:
    answer = await served.query("chat", HELLO | {"temperature": 0}, x_request_id="req-1")
    assert answer.status == 200
    assert answer.content_type == "application/json"
    assert answer.json["model"] == "chat"
    assert answer.json["choices"][0]["message"]["role"] == "assistant"
    assert answer.headers == answer.headers | {
        "served-model-name": "served-gpt",
        "x-modelplane-config-version": "7",
        "x-request-id": "req-1",
    }
    [request] = served.emulator.requests
    assert request.body == HELLO | {"model": "gpt-4", "temperature": 0}
    assert request.headers["authorization"] == f"Bearer {API_KEY}"


async def test_a_worker_without_configuration_denies_no_token(system: System) -> None:
    answer = await system.query("chat", HELLO)
    assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")


async def test_every_answer_gets_a_request_id_of_its_own(served: System) -> None:
    first = await served.query("chat", HELLO)
    second = await served.query("nothing", HELLO, x_request_id="two words")
    assert first.headers["x-request-id"]
    assert second.headers["x-request-id"] not in ("", first.headers["x-request-id"])


@pytest.mark.parametrize(
    ("method", "model", "body"),
    [
        ("CreateChatCompletion", "chat", HELLO),
        ("CreateCompletion", "completions", {"prompt": "say"}),
        ("CreateEmbedding", "embeddings", {"input": ["a", "b"], "encoding_format": "base64"}),
    ],
)
async def test_the_openai_routes_name_the_endpoint_in_the_body(
    served: System, method: str, model: str, body: dict[str, object]
) -> None:
    answer = await served.openai(method, body | {"model": model})
    assert answer.status == 200
    assert answer.json["model"] == model
    assert (await served.query(model, body)).json.keys() == answer.json.keys()
    if model == "embeddings":
        assert isinstance(answer.json["data"][1]["embedding"], str)


@pytest.mark.parametrize(
    ("body", "status", "error_code", "words"),
    [
        ({"messages": []}, 400, "INVALID_PARAMETER_VALUE", "'model'"),
        ({"model": 3}, 400, "INVALID_PARAMETER_VALUE", "'model'"),
        ({"model": "nothing"}, 404, "ENDPOINT_NOT_FOUND", "does not exist"),
        (
            {"model": "embeddings"},
            400,
            "INVALID_PARAMETER_VALUE",
            "/serving-endpoints/embeddings",
        ),
    ],
)
async def test_openai_routes_refuse_what_they_cannot_route(
    served: System, body: object, status: int, error_code: str, words: str
) -> None:
    answer = await served.openai("CreateChatCompletion", body)
    assert (answer.status, answer.error_code) == (status, error_code)
    assert words in answer.message


@pytest.mark.parametrize(
    ("body", "error_code"),
    [
        (b"{", "BAD_REQUEST"),
        (b"", "BAD_REQUEST"),
        (b"[]", "BAD_REQUEST"),
        (b"NaN", "BAD_REQUEST"),
        (b'{"messages": "\xff"}', "BAD_REQUEST"),
        (b"[" * 100_000, "BAD_REQUEST"),
        (b'{"a":' * 600 + b"1" + b"}" * 600, "INVALID_PARAMETER_VALUE"),
        (
            b'{"messages":[{}],"a":' + b"[" * 500 + b"]" * 500 + b"}",
            "BAD_REQUEST",
        ),
        ({}, "INVALID_PARAMETER_VALUE"),
        ({"messages": []}, "INVALID_PARAMETER_VALUE"),
        ({"messages": "hello"}, "INVALID_PARAMETER_VALUE"),
        ({"messages": ["hello"]}, "INVALID_PARAMETER_VALUE"),
        (HELLO | {"stream": "yes"}, "INVALID_PARAMETER_VALUE"),
        (HELLO | {"stream": True, "stream_options": 1}, "INVALID_PARAMETER_VALUE"),
        (HELLO | {"extra_params": []}, "INVALID_PARAMETER_VALUE"),
    ],
)
async def test_a_bad_body_is_refused_without_a_call(
    served: System, body: object, error_code: str
) -> None:
    answer = await served.query("chat", body)
    assert (answer.status, answer.error_code) == (400, error_code)
    assert answer.message
    assert not served.emulator.requests


async def test_embeddings_cannot_be_streamed(served: System) -> None:
    answer = await served.query("embeddings", {"input": "a", "stream": True})
    assert (answer.status, answer.error_code) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize("credential", [None, "wrong", "expired-token"])
@pytest.mark.parametrize("name", ["chat", "nothing"])
async def test_without_a_good_token_nothing_is_told(
    served: System, credential: str | None, name: str
) -> None:
    answer = await served.query(name, b"not json", token=credential)
    assert (answer.status, answer.error_code) == (401, "UNAUTHENTICATED")
    assert name not in answer.message


async def test_basic_credentials_are_accepted(served: System) -> None:
    credentials = "Basic dG9rZW46ZGFwaS10ZXN0LXRva2VuLTAxMjM0NTY3ODk="
    answer = await served.query("chat", HELLO, token=None, authorization=credentials)
    assert answer.status == 200


@pytest.mark.parametrize(
    ("caller", "status", "code"),
    [
        ("viewer", 403, "PERMISSION_DENIED"),
        ("stranger", 404, "ENDPOINT_NOT_FOUND"),
        ("orphan", 401, "UNAUTHENTICATED"),
    ],
)
async def test_a_principal_without_permission_is_refused(
    served: System, caller: str, status: int, code: str
) -> None:
    answer = await served.query("chat", HELLO, token=f"{caller}-token")
    assert (answer.status, answer.error_code) == (status, code)
    assert not served.emulator.requests


async def test_an_endpoint_whose_first_configuration_is_being_rolled_out_asks_to_come_back(
    system: System,
) -> None:
    prepared = endpoint_config(system.entity("served-gpt"))
    await system.apply(snapshot(1, endpoint("new", prepared=prepared)))
    answer = await system.query("new", HELLO)
    assert (answer.status, answer.error_code) == (503, "TEMPORARILY_UNAVAILABLE")
    assert answer.headers["retry-after"] == "1"


async def test_an_endpoint_that_serves_nothing_says_why_and_not_to_come_back(
    system: System,
) -> None:
    refused = endpoint_config(system.entity("served-gpt", openai_api_key_plaintext=""))
    resources = {
        "bare": (endpoint("bare"), "it has no configuration"),
        "failed": (endpoint("failed", failure="the key cannot be parsed"), "key cannot be parsed"),
        "refused": (endpoint("refused", refused), "openai_api_key has no value"),
    }
    await system.apply(snapshot(1, *(resource for resource, _ in resources.values())))
    for name, (_, reason) in resources.items():
        answer = await system.query(name, HELLO)
        assert (answer.status, answer.error_code) == (400, "INVALID_STATE")
        assert "retry-after" not in answer.headers
        assert f"Endpoint '{name}' serves nothing" in answer.message
        assert reason in answer.message


async def test_the_path_may_name_a_served_entity(system: System) -> None:
    entities = (system.entity("current"), system.entity("challenger", model="gpt-4o"))
    config = endpoint_config(*entities, split={"current": 100, "challenger": 0})
    await system.apply(snapshot(1, endpoint("mixed", config)))
    named = await system.query("mixed", HELLO, served="challenger")
    assert named.headers["served-model-name"] == "challenger"
    assert system.emulator.requests[-1].body["model"] == "gpt-4o"
    for _ in range(5):
        split = await system.query("mixed", HELLO)
        assert split.headers["served-model-name"] == "current"
    missing = await system.query("mixed", HELLO, served="nobody")
    assert (missing.status, missing.error_code) == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_fields_of_the_gateway_do_not_reach_the_provider(served: System) -> None:
    own = {
        "client_request_id": "c-1",
        "usage_context": {"team": "a"},
        "databricks_options": {"return_trace": True},
        "extra_params": {"top_p": "0.5", "user": "123", "temperature": "1", "stop": ["x"]},
    }
    answer = await served.query("chat", HELLO | {"temperature": 0} | own)
    assert answer.status == 200
    assert served.emulator.requests[-1].body == HELLO | {
        "model": "gpt-4",
        "temperature": 0,
        "top_p": 0.5,
        "user": "123",
        "stop": ["x"],
    }


async def test_models_are_listed_for_openai_clients(served: System) -> None:
    answer = await served.list_models()
    assert answer.json["object"] == "list"
    assert [model["id"] for model in answer.json["data"]] == ["chat", "completions", "embeddings"]
    assert answer.json["data"][0] == {
        "id": "chat",
        "object": "model",
        "created": 1_699_617_587,
        "owned_by": "openai",
    }


async def test_a_hosted_model_cannot_be_queried_yet(system: System) -> None:
    entity = ServedEntity(name="own", entity_name="system.ai.own", creation_timestamp=1e12)
    assert not await system.apply(snapshot(1, endpoint("own", endpoint_config(entity))))
    answer = await system.query("own", HELLO)
    assert (answer.status, answer.error_code) == (501, "NOT_IMPLEMENTED")
    assert json.loads(answer.message)["external_model_provider"] == "system.ai.own"


async def test_one_log_line_without_prompt_or_secret(
    served: System, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await served.query("chat", HELLO | {"stream": True}, x_request_id="req-2")
    [record] = [
        record for record in caplog.records if record.name == "modelplane.data_plane.access"
    ]
    fields = record.__dict__["fields"]
    assert fields["request_id"] == "req-2"
    assert fields["endpoint"] == "chat"
    assert fields["served_entity"] == "served-gpt"
    assert fields["config_version"] == 7
    assert fields["principal"] == "admin"
    assert fields["status"] == 200
    assert fields["chunks"] >= 1
    assert fields["output_tokens"] > 0
    text = repr([record.__dict__ for record in caplog.records])
    assert "hello there" not in text
    assert API_KEY not in text


async def test_calls_are_counted(served: System) -> None:
    await served.query("chat", HELLO)
    await served.query("chat", {})
    labels = {"endpoint": "chat", "served_entity": "served-gpt", "task": "llm/v1/chat"}
    value = served.registry.get_sample_value
    assert value("modelplane_requests_total", labels | {"status": "200"}) == 1
    refused = {"endpoint": "chat", "served_entity": "", "task": "", "status": "400"}
    assert value("modelplane_requests_total", refused) == 1
    assert value("modelplane_requests_in_flight") == 0
    assert value("modelplane_request_duration_seconds_count", {"endpoint": "chat"}) == 2
