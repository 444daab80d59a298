"""A small real language model of the catalogue, by llama.cpp, asked by real clients."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from openai import BadRequestError, OpenAI
from prometheus_client.parser import text_string_to_metric_families
from xllamacpp import CommonParams, Server

from tests.e2e.native.speakers import SPEAKERS, Speaker
from tests.e2e.principals import Principals
from tests.e2e.rest import ENDPOINTS, Json, Rest
from tests.e2e.system import System
from tests.hosting.e2e.deployment import deployed, hosted
from tests.hosting.e2e.processes import wait_for
from tests.hosting.weights import model_file

PAID = "databricks-smollm2-135m-instruct"
MODEL = "system.ai.smollm2_135m_instruct"
ASKED = [{"role": "user", "content": "Name one colour of the rainbow."}]
# What differs from answer to answer, and what is the engine's own and no part of OpenAI's API.
VOLATILE = {"id", "created", "timings", "model"}


@pytest.fixture
def chat(api: Rest) -> str:
    name = "smol"
    deployed(api, name, hosted("smol", MODEL, scale_to_zero_enabled=False))
    return name


@pytest.fixture
def client(host: System) -> Iterator[OpenAI]:
    url = f"{host.url}/serving-endpoints"
    with OpenAI(base_url=url, api_key=host.token, max_retries=0) as opened:
        yield opened


def engine(**question: Any) -> dict[str, Any]:
    """Ask the engine itself, loaded as a replica loads it."""
    params = CommonParams()
    params.model.path = str(model_file())
    params.hostnames, params.port, params.ui = ["127.0.0.1"], 0, False
    params.n_parallel, params.n_ctx = 4, 4096
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    answer: dict[str, Any] = Server(params).handle_chat_completions(question)
    return answer


def test_answers_are_the_engines_own(chat: str, client: OpenAI, api: Rest) -> None:
    question: dict[str, Any] = {
        "messages": ASKED,
        "max_tokens": 6,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 2,
    }
    own = engine(**question)
    answer = client.chat.completions.create(model=chat, **question)
    ours = answer.model_dump(exclude_unset=True)
    for token in own["choices"][0]["logprobs"]["content"]:
        for one in (token, *token["top_logprobs"]):
            del one["id"]
    assert {key: value for key, value in ours.items() if key not in VOLATILE} == {
        key: value for key, value in own.items() if key not in VOLATILE
    }
    events = list(client.chat.completions.create(model=chat, stream=True, **question))
    text = "".join(event.choices[0].delta.content or "" for event in events)
    assert text == own["choices"][0]["message"]["content"]
    assert events[-1].choices[0].finish_reason == own["choices"][0]["finish_reason"]
    assert events[-1].usage is not None
    assert events[-1].usage.completion_tokens == own["usage"]["completion_tokens"]
    plain = api.call("POST", f"/serving-endpoints/{chat}/invocations", question)
    assert plain["choices"][0]["logprobs"] == ours["choices"][0]["logprobs"]


def test_what_the_engine_says_of_itself_is_in_the_endpoints_metrics(
    chat: str, host: System, api: Rest
) -> None:
    question = {"messages": ASKED, "max_tokens": 4, "temperature": 0}
    usage = [
        api.call("POST", f"/serving-endpoints/{chat}/invocations", question)["usage"]
        for _ in range(2)
    ]
    said = sum(one["completion_tokens"] for one in usage)
    kept = sum(one["prompt_tokens_details"]["cached_tokens"] for one in usage)

    def counted() -> dict[str, float]:
        page = api.send("GET", f"{ENDPOINTS}/{chat}/metrics").text
        return {
            ",".join(
                [sample.name, *sorted(set(sample.labels.values()) - {chat, "smol"})]
            ): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }

    prefix = "modelplane_endpoint_engine"
    # The server asks the engine, the launcher the server, and its report is stored every 5 s.
    deadline = time.monotonic() + 120
    while counted().get(f"{prefix}_tokens_total,generation", 0) < said:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    found = counted()
    assert found[f"{prefix}_tokens_total,prompt"] >= sum(one["prompt_tokens"] for one in usage)
    assert found[f"{prefix}_prefix_cache_tokens_total,hits"] >= kept > 0
    assert found[f"{prefix}_requests,waiting"] == 0
    assert 0 <= found[f"{prefix}_kv_cache_usage_ratio"] <= 1
    state = json.loads((host.data_dir / "up.json").read_bytes())
    page = requests.get(state["control_plane"]["metrics_url"], timeout=60).text
    assert 'modelplane_engine_requests{state="waiting"} 0.0' in page


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "chat template has none"),
        ({"top_logprobs": 2}, "needs logprobs"),
        ({"messages": [{"role": "user", "content": "word " * 3000}]}, "context window holds 1024"),
    ],
)
def test_what_the_model_cannot_do_is_refused(
    chat: str, client: OpenAI, fields: dict[str, Any], told: str
) -> None:
    question: Any = {"model": chat, "messages": ASKED, "max_tokens": 2, **fields}
    with pytest.raises(BadRequestError, match=told):
        client.chat.completions.create(**question)


def test_other_names_of_the_catalogue_are_unknown(api: Rest) -> None:
    entity = hosted("x", "system.ai.unheard_of")
    answer = api.send("POST", ENDPOINTS, {"name": "x", "config": {"served_entities": [entity]}})
    assert answer.status_code == 404, answer.text
    assert MODEL in answer.json()["message"]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
def test_clients_of_other_apis_ask_it(
    chat: str, host: System, speaker: Speaker, *, streams: bool
) -> None:
    body = speaker.body(chat, "Name one colour.", streams=streams)
    answer = speaker.ask(host, body, chat, streams=streams)
    assert speaker.text(answer)
    read, written = speaker.usage(answer)
    assert read > 0
    assert written > 0


def test_what_agents_always_send_is_left_out_and_told(chat: str, host: System) -> None:
    messages = SPEAKERS[0]
    thinking = {"thinking": {"type": "adaptive"}, "metadata": {"user_id": "a"}}
    answer = messages.post(host, messages.body(chat, "Hi.") | {"max_tokens": 2} | thinking, chat)
    assert answer.status_code == 200, answer.text
    assert answer.json()["stop_reason"] == "max_tokens"
    assert answer.headers["x-modelplane-adapted-params"] == "reasoning_effort=dropped"


def test_a_pay_per_token_endpoint_is_everyones(host: System, api: Rest) -> None:
    with Principals(host) as principals:
        token = principals.add_user("somebody@example.com")
        with Rest(host, token) as somebody:
            listed = somebody.call("GET", f"{ENDPOINTS}:foundation-models")["endpoints"]
            assert [(one["name"], one["permission_level"]) for one in listed] == [
                (PAID, "CAN_QUERY")
            ]
            assert not listed[0].keys() & {"id", "creator", "description", "route_optimized"}
            assert api.call("GET", ENDPOINTS)["endpoints"][0]["name"] == PAID
            # From zero: the request waits until the model is loaded.
            question: Json = {"messages": ASKED, "max_tokens": 4}
            answer = somebody.query(PAID, question)
            assert answer.status_code == 200, answer.text
            assert answer.json()["usage"]["completion_tokens"] == 4
        workspace = WorkspaceClient(host=host.url, token=token)
        [shown] = [one for one in workspace.serving_endpoints.list() if one.name == PAID]
    assert shown.config
    assert shown.config.served_entities
    assert shown.config.served_entities[0].foundation_model
    assert shown.config.served_entities[0].foundation_model.name == MODEL
    # As clients of the gateway call it.
    path = "/ai-gateway/mlflow/v1/chat/completions"
    assert api.call("POST", path, {**question, "model": MODEL})["choices"]
    for method, path in (("DELETE", ""), ("PUT", "/config"), ("PATCH", "/tags")):
        refused = api.send(method, f"{ENDPOINTS}/{PAID}{path}", {} if path else None)
        assert refused.status_code == 400, refused.text
        assert "is set by the operator" in refused.json()["message"] or path == "/config"


def test_its_tokens_are_limited_and_counted_for_each_user(host: System, api: Rest) -> None:
    question: Json = {"messages": ASKED, "max_tokens": 4}
    limit = {"tokens": 45, "key": "user", "renewal_period": "minute"}
    gateway = {"rate_limits": [limit], "usage_tracking_config": {"enabled": True}}
    api.call("PUT", f"{ENDPOINTS}/{PAID}/ai-gateway", gateway)
    with Principals(host) as principals:
        with Rest(host, principals.add_user("thrifty@example.com")) as thrifty:
            used = thrifty.query(PAID, question).json()["usage"]["total_tokens"]
            assert used > 45 / 2
            # The next minute may begin at any time; it lets no more in than this one.
            assert any(thrifty.query(PAID, question).status_code == 429 for _ in range(6))
        with Rest(host, principals.add_user("other@example.com")) as other:
            assert other.query(PAID, question).status_code == 200
    api.call("PUT", f"{ENDPOINTS}/{PAID}/ai-gateway", {})

    def requesters() -> set[str]:
        rows = api.call("GET", f"/api/2.0/usage?endpoint={PAID}")["usage"]
        return {row["requester"] for row in rows}

    wait_for(lambda: {"thrifty@example.com", "other@example.com"} <= requesters())
    found = api.call("GET", "/api/2.0/served-entities")["served_entities"]
    assert {one["entity_type"] for one in found if one["endpoint_name"] == PAID} == {
        "FOUNDATION_MODEL"
    }
