"""What external models have, hosted ones have too: usage, metrics, limits, fallbacks, permissions,
audit, tags, and the clients of chat models.
"""

import time
from collections.abc import Iterator

import grpc
import openai
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import ChatMessage as SdkMessage
from databricks.sdk.service.serving import ChatMessageRole
from modelserving.v1.chat_pb2 import ChatMessage, ChatRequest
from modelserving.v1.model_service_pb2_grpc import ModelServiceStub
from openai import OpenAI
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.principals import Principals
from tests.e2e.rest import ENDPOINTS, Json, Rest
from tests.e2e.system import System
from tests.hosting.e2e.deployment import FLOWER, deployed, hosted, settled, split
from tests.hosting.e2e.processes import wait_for
from tests.hosting.e2e.schemas import fits

HELLO: Json = {"messages": [{"role": "user", "content": "hello you"}]}
SAID = "hello you at 0.5"
TRACKED: Json = {"usage_tracking_config": {"enabled": True}}
TAGS = [{"key": "team", "value": "flowers"}]


def awake(name: str, model: str) -> Json:
    return hosted(name, model, scale_to_zero_enabled=False)


@pytest.fixture(scope="module")
def governed(running_host: System) -> Iterator[Rest]:
    """Give a client, an endpoint of mixed models called `governed` and one that chats, `talk`."""
    entities = [awake("iris", "main.ml.iris"), awake("chat", "main.ml.chat")]
    config = {"served_entities": entities, "traffic_config": split(iris=100, chat=0)}
    with Rest(running_host) as rest:
        rest.create({"name": "governed", "config": config, "tags": TAGS, "ai_gateway": TRACKED})
        config = {"served_entities": entities[1:]}
        rest.create({"name": "talk", "config": config, "ai_gateway": TRACKED})
        for name in ("governed", "talk"):
            assert settled(rest, name)["state"]["ready"] == "READY"
        yield rest
        for name in ("governed", "talk"):
            rest.call("DELETE", f"{ENDPOINTS}/{name}")


def rows(rest: Rest, name: str, since: float) -> list[Json]:
    found: list[Json] = rest.call("GET", f"/api/2.0/usage?endpoint={name}&start_time={since}")[
        "usage"
    ]
    return found


def now_ms() -> float:
    return time.time_ns() / 1e6


def limited(rest: Rest, **limit: object) -> None:
    gateway = {**TRACKED, "rate_limits": [{"renewal_period": "minute", **limit}] if limit else []}
    rest.call("PUT", f"{ENDPOINTS}/governed/ai-gateway", gateway)


def test_each_query_is_a_row_of_the_ledger(governed: Rest) -> None:
    since = now_ms()
    labels = {
        "client_request_id": "mine",
        "usage_context": {"project": "e2e"},
        "databricks_options": {"return_trace": False},
    }
    assert governed.query("governed", FLOWER | labels).json() == {"predictions": [0]}
    refused = governed.query("governed", {"instances": [1]})
    assert refused.status_code == 400
    path = "/serving-endpoints/governed/served-models/chat/invocations"
    streamed = governed.send("POST", path, HELLO | {"stream": True})
    assert streamed.text.endswith("data: [DONE]\n\n")
    wait_for(lambda: len(rows(governed, "governed", since)) == 3)
    stream, bad, good = rows(governed, "governed", since)
    told = ("status_code", "served_entity_name", "request_streaming", "error")
    assert [good[name] for name in told] == [200, "iris", False, None]
    assert [bad[name] for name in told] == [400, "iris", False, "ModelRefusedParameter"]
    assert [stream[name] for name in told] == [200, "chat", True, None]
    assert (good["client_request_id"], good["usage_context"]) == ("mine", {"project": "e2e"})
    assert (good["endpoint_tags"], good["requester"]) == ({"team": "flowers"}, "admin")
    assert bad["databricks_request_id"] == refused.headers["x-request-id"]
    assert stream["first_chunk_ms"] > 0
    # The models count none.
    assert {(row["input_token_count"], row["output_token_count"]) for row in (stream, good)} == {
        (None, None)
    }
    assert not any(row["token_counts_estimated"] for row in (stream, bad, good))
    path = "/api/2.0/served-entities?endpoint=governed"
    served = {
        row["served_entity_name"]: row for row in governed.call("GET", path)["served_entities"]
    }
    assert served["iris"]["served_entity_id"] == good["served_entity_id"]
    assert (served["iris"]["entity_version"], served["iris"]["task"]) == ("1", None)
    assert served["chat"]["task"] == "agent/v1/chat"
    sizes = {"min_concurrency": 4, "max_concurrency": 4, "compute_type": "CPU"}
    assert served["iris"]["custom_model_config"] == sizes


@pytest.mark.parametrize(
    ("label", "value"), [("client_request_id", 5), ("usage_context", {"a": 1})]
)
def test_labels_of_another_form_are_refused(governed: Rest, label: str, value: object) -> None:
    answer = governed.query("governed", FLOWER | {label: value})
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert label in answer.json()["message"]


def test_metrics_are_told_by_entity(governed: Rest) -> None:
    governed.query("governed", FLOWER)

    def answered() -> float:
        text = governed.send("GET", f"{ENDPOINTS}/governed/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "modelplane_endpoint_requests_total"
            and (sample.labels["served_model_name"], sample.labels["status"]) == ("iris", "200")
        )

    wait_for(lambda: answered() > 0)


def test_limits_hold_and_say_how_long(running_host: System, governed: Rest) -> None:
    with Principals(running_host) as principals, Rest(running_host) as admin:
        token = principals.add_user("gardener@example.com", ["gardeners"])
        share(governed, "gardener@example.com", "CAN_QUERY")
        with Rest(running_host, token) as gardener:
            try:
                limited(governed, calls=0, key="user_group", principal="gardeners")
                refused = gardener.query("governed", FLOWER)
                assert admin.query("governed", FLOWER).status_code == 200
                limited(governed, calls=0)
                assert admin.query("governed", FLOWER).status_code == 429
                limited(governed, calls=1_000, key="user")
                counted = gardener.query("governed", FLOWER)
            finally:
                limited(governed)
    assert (refused.status_code, refused.json()["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert "rate limit exceeded for user_group" in refused.json()["message"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert counted.headers["x-ratelimit-limit-requests"] == "1000"
    assert int(counted.headers["x-ratelimit-remaining-requests"]) < 1000


def share(rest: Rest, user: str, level: str) -> None:
    endpoint_id = rest.call("GET", f"{ENDPOINTS}/governed")["id"]
    grant = {"user_name": user, "permission_level": level}
    path = f"/api/2.0/permissions/serving-endpoints/{endpoint_id}"
    rest.call("PATCH", path, {"access_control_list": [grant]})


def test_who_may_query_may_not_read_logs_or_change(running_host: System, governed: Rest) -> None:
    since = now_ms()
    with Principals(running_host) as principals:
        token = principals.add_user("visitor@example.com")
        with Rest(running_host, token) as visitor:
            # Whoever may not see it is not told that it is there.
            assert visitor.query("governed", FLOWER).status_code == 404
            share(governed, "visitor@example.com", "CAN_VIEW")
            assert visitor.query("governed", FLOWER).status_code == 403
            share(governed, "visitor@example.com", "CAN_QUERY")
            assert visitor.query("governed", FLOWER).json() == {"predictions": [0]}
            for path in ("", "/openapi", "/metrics"):
                answer = visitor.send("GET", f"{ENDPOINTS}/governed{path}")
                assert answer.status_code == 200, answer.text
            for path in ("served-models/iris/logs", "served-models/iris/build-logs"):
                answer = visitor.send("GET", f"{ENDPOINTS}/governed/{path}")
                assert (answer.status_code, answer.json()["error_code"]) == (
                    403,
                    "PERMISSION_DENIED",
                )
            config = {"served_entities": [awake("iris", "main.ml.iris")]}
            assert visitor.send("PUT", f"{ENDPOINTS}/governed/config", config).status_code == 403
    query = f"/api/2.0/audit-events?start_time={since}&principal=visitor@example.com"

    def refused() -> set[str]:
        return {one["action"] for one in governed.call("GET", query)["events"]}

    logs = {"GetServedModelLogs", "GetServedModelBuildLogs"}
    wait_for(lambda: refused() >= {"UpdateServingEndpointConfig", *logs})


def test_changes_are_audited_without_what_variables_hold(governed: Rest) -> None:
    since = now_ms()
    variables = {"GREETING": "plain-and-not-for-the-log", "EMPTY": ""}
    entity = hosted("iris", "main.ml.iris", environment_vars=variables)
    deployed(governed, "audited", entity)
    governed.call("DELETE", f"{ENDPOINTS}/audited")
    path = f"/api/2.0/audit-events?start_time={since}&object_name=audited"
    events = governed.call("GET", path)["events"]
    assert [one["action"] for one in events] == ["DeleteServingEndpoint", "CreateServingEndpoint"]
    details = events[1]["details"]
    assert details["config.served_entities[0].entity_name"] == "main.ml.iris"
    assert "plain-and-not-for-the-log" not in str(events)


def test_a_model_that_is_too_slow_is_replaced_by_another_entity(governed: Rest) -> None:
    entities = [awake("slow", "main.ml.slow"), awake("bare", "main.ml.bare")]
    gateway = {
        "fallback_config": {"enabled": True},
        "timeout_config": {"first_byte_seconds": 2},
    }
    config = {"served_entities": entities, "traffic_config": split(slow=100, bare=0)}
    governed.create({"name": "guarded", "config": config, "ai_gateway": gateway})
    try:
        assert settled(governed, "guarded")["state"]["ready"] == "READY"
        answer = governed.query("guarded", {"dataframe_records": [{"seconds": 20.0}]})
        assert answer.json() == {"predictions": {"type": "DataFrame", "params": None}}
        assert answer.headers["served-model-name"] == "bare"
        assert answer.headers["x-modelplane-attempts"] == "2"
        assert answer.headers["x-modelplane-attempt-errors"] == "slow=DeadlineExceeded"
        # What the model refuses is the caller's mistake, and asked once.
        refused = governed.query("guarded", {"dataframe_records": [{"other": 1}]})
        assert (refused.status_code, refused.headers["x-modelplane-attempts"]) == (400, "1")
    finally:
        governed.call("DELETE", f"{ENDPOINTS}/guarded")


def test_the_openapi_document_takes_what_the_models_take(governed: Rest) -> None:
    document = governed.call("GET", f"{ENDPOINTS}/governed/openapi")
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {
        "/served-models/iris/invocations",
        "/served-models/chat/invocations",
    }
    bodies: dict[str, tuple[Json, list[Json]]] = {
        "iris": (
            FLOWER,
            [{"dataframe_split": {"columns": ["x"], "data": [[1]]}}, {"messages": []}],
        ),
        "chat": (HELLO | {"temperature": 0.5}, [{"messages": "hello"}, {"prompt": "hello"}]),
    }
    for name, (body, wrong) in bodies.items():
        operation = document["paths"][f"/served-models/{name}/invocations"]["post"]
        asked = operation["requestBody"]["content"]["application/json"]["schema"]
        told = operation["responses"]["200"]["content"]["application/json"]["schema"]
        path = f"/serving-endpoints/governed/served-models/{name}/invocations"
        assert fits(body, asked)
        assert fits(governed.send("POST", path, body).json(), told)
        assert not any(fits(other, asked) for other in wrong)


def test_lists_and_tags(governed: Rest) -> None:
    listed = {one["name"]: one for one in governed.call("GET", ENDPOINTS)["endpoints"]}
    assert listed["governed"]["tags"] == TAGS
    [first, second] = listed["governed"]["config"]["served_entities"]
    assert (first["entity_name"], first["entity_version"]) == ("main.ml.iris", "1")
    assert (first["type"], second["name"]) == ("CUSTOM_MODEL", "chat")
    assert "task" not in listed["governed"]
    assert listed["talk"]["task"] == "agent/v1/chat"
    models = {one["id"] for one in governed.call("GET", "/serving-endpoints/models")["data"]}
    assert {"governed", "talk"} <= models
    path = f"{ENDPOINTS}/talk/tags"
    changed = governed.send("PATCH", path, {"add_tags": TAGS})
    assert changed.json()["tags"] == TAGS


def test_the_openai_client_chats(running_host: System, governed: Rest) -> None:
    since = now_ms()
    base = f"{running_host.url}/serving-endpoints"
    with OpenAI(api_key=running_host.token, base_url=base, max_retries=0) as client:
        create, messages = client.chat.completions.create, HELLO["messages"]
        whole = create(model="talk", messages=messages, temperature=0.5)
        assert whole.choices[0].message.content == SAID
        stream = create(model="talk", messages=messages, stream=True)
        assert [chunk.choices[0].delta.content for chunk in stream] == ["hello", "you"]
        # This one has more than a chat model.
        with pytest.raises(openai.BadRequestError, match="serves no language model task"):
            create(model="governed", messages=messages)
        with pytest.raises(openai.BadRequestError, match="serves agent/v1/chat"):
            client.embeddings.create(model="talk", input="hello")
    wait_for(lambda: len(rows(governed, "talk", since)) == 2)
    assert {row["status_code"] for row in rows(governed, "talk", since)} == {200}
    assert {row["task"] for row in rows(governed, "talk", since)} == {"agent/v1/chat"}


def test_typed_calls_and_the_sdk_chat(running_host: System, governed: Rest) -> None:
    del governed
    metadata = (("authorization", f"Bearer {running_host.token}"),)
    asked = ChatRequest(
        model="talk", messages=[ChatMessage(role="user", text="hello you")], temperature=0.5
    )
    with grpc.insecure_channel(running_host.target) as channel:
        stub = ModelServiceStub(channel)
        answer, call = stub.Chat.with_call(asked, metadata=metadata, timeout=60)
        assert answer.choices[0].message.text == SAID
        assert dict(call.initial_metadata())["served-model-name"] == "chat"
        stream = stub.StreamChat(asked, metadata=metadata, timeout=60)
        assert [chunk.choices[0].delta.text for chunk in stream] == ["hello", "you"]
    workspace = WorkspaceClient(host=running_host.url, token=running_host.token, auth_type="pat")
    message = SdkMessage(role=ChatMessageRole.USER, content="hello you")
    said = workspace.serving_endpoints.query(
        "talk", messages=[message], temperature=0.5, client_request_id="mine"
    )
    assert said.choices
    assert said.choices[0].message
    assert said.choices[0].message.content == SAID
