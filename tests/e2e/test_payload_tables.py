"""Payload tables through the whole system: settings in, queries, rows out, read back by SQL."""

import json
from itertools import count
from typing import Any

import pytest
import requests
from databricks.sdk.service.serving import AiGatewayInferenceTableConfig

from modelplane.deploy.command.query import QueryError, ask
from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity, parsed
from tests.e2e.system import System, wait_for
from tests.e2e.test_databricks_sdk import connect
from tests.emulators.openai import OpenAiEmulator

TABLE: Json = {"enabled": True, "catalog_name": "main", "schema_name": "logs"}
_NAMES = (f"recorded-{number}" for number in count())


def config(*entities: Json, **fields: object) -> Json:
    return {"served_entities": list(entities), **fields}


def refusal(rest: Rest, method: str, path: str, body: Json) -> str:
    """Send a request that must be refused with 400, and return why."""
    answer = rest.send(method, path, body)
    assert answer.status_code == 400, answer.text
    return str(parsed(answer)["message"])


def rows(system: System, name: str) -> list[dict[str, Any]]:
    sql = f'select * from main.logs."{name}_payload" order by request_time'
    try:
        return ask(str(system.data_dir / "tables"), sql)
    except QueryError:
        # There is none before the first row.
        return []


def test_calls_become_rows(system: System, rest: Rest, provider: OpenAiEmulator) -> None:
    name = next(_NAMES)
    rest.create(endpoint(name, entity(provider, "gpt")))
    workspace = connect(system, system.token)
    set_to = workspace.serving_endpoints.put_ai_gateway(
        name,
        inference_table_config=AiGatewayInferenceTableConfig(
            enabled=True, catalog_name="main", schema_name="logs"
        ),
    )
    assert set_to.inference_table_config
    assert set_to.inference_table_config.table_name_prefix is None
    answers = [rest.query(name, CHAT), rest.query(name, CHAT | {"stream": True})]
    answers.append(rest.query(name, CHAT | {"messages": []}))
    wait_for(lambda: len(rows(system, name)) == 3)
    whole, streamed, refused = rows(system, name)
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [one["databricks_request_id"] for one in (whole, streamed, refused)] == ids
    assert [one["status_code"] for one in (whole, streamed, refused)] == [200, 200, 400]
    assert json.loads(whole["request"]) == CHAT
    assert whole["response"] == answers[0].text
    told = json.loads(streamed["response"])["choices"][0]["message"]["content"]
    assert told == answers[0].json()["choices"][0]["message"]["content"]
    assert json.loads(refused["response"])["message"] == answers[2].json()["message"]
    assert {one["endpoint_name"] for one in (whole, streamed, refused)} == {name}
    assert len({one["invocation_id"] for one in (whole, streamed, refused)}) == 3
    metrics_url = json.loads((system.data_dir / "up.json").read_text())["payload_writer"]
    page = requests.get(metrics_url["metrics_url"], timeout=120).text
    assert "modelplane_payload_rows_written_total" in page


def test_native_streams_become_messages(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    name = next(_NAMES)
    rest.create(
        endpoint(name, entity(provider, "gpt"), ai_gateway={"inference_table_config": TABLE})
    )
    body = {"model": name, "max_tokens": 9, "messages": CHAT["messages"]}
    path = "/serving-endpoints/anthropic/v1/messages"
    whole = rest.send("POST", path, body)
    assert whole.status_code == 200
    assert rest.send("POST", path, body | {"stream": True}).status_code == 200
    wait_for(lambda: len(rows(system, name)) == 2)
    first, second = (json.loads(one["response"]) for one in rows(system, name))
    assert first == whole.json()
    assert (second["type"], second["content"]) == ("message", first["content"])


def test_failed_calls_are_rows_whatever_the_sampling(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    name = next(_NAMES)
    table = TABLE | {"sampling_fraction": 0.5}
    rest.create(
        endpoint(name, entity(provider, "gpt"), ai_gateway={"inference_table_config": table})
    )
    for _ in range(20):
        assert rest.query(name, CHAT).status_code == 200
    for _ in range(5):
        assert rest.query(name, {"messages": []}).status_code == 400
    wait_for(lambda: sum(one["status_code"] == 400 for one in rows(system, name)) == 5)
    recorded = rows(system, name)
    assert {one["sampling_fraction"] for one in recorded} == {0.5}
    # That all or none of twenty are drawn happens once in half a million runs.
    assert 0 < sum(one["status_code"] == 200 for one in recorded) < 20


def test_requests_are_recorded_as_guardrails_let_them_pass(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    name = next(_NAMES)
    table = TABLE | {"redact": "masked"}
    rules = {"input": {"pii": {"behavior": "MASK"}, "invalid_keywords": ["abracadabra"]}}
    gateway = {"inference_table_config": table, "guardrails": rules}
    rest.create(endpoint(name, entity(provider, "gpt"), ai_gateway=gateway))
    plain, personal = "no one here", "write to jane@example.com"
    for text, status in ((plain, 200), (personal, 200), (f"{personal} abracadabra", 400)):
        body = {"messages": [{"role": "user", "content": text}]}
        assert rest.query(name, body).status_code == status
    # What nobody has looked through is not kept either.
    assert rest.query(name, {"messages": personal}).status_code == 400
    wait_for(lambda: len(rows(system, name)) == 4)
    recorded = rows(system, name)
    assert json.loads(recorded[0]["request"])["messages"][0]["content"] == plain
    masked = json.loads(recorded[1]["request"])["messages"][0]["content"]
    assert masked == "write to <EMAIL_ADDRESS>"
    for row in recorded[2:]:
        assert row["request"] is None
        assert row["logging_error_codes"] == ["REQUEST_REDACTED"]
    assert "jane@" not in json.dumps(recorded, default=str)
    kinds = [row["guardrail_action"] for row in recorded]
    assert kinds == ["none", "masked", "blocked", None]


def test_the_deprecated_configuration_means_the_same(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    name = next(_NAMES)
    table = TABLE | {"table_name_prefix": f"{name}_old"}
    made = rest.create(
        {"name": name, "config": config(entity(provider, "gpt"), auto_capture_config=table)}
    )
    shown = made["config"]["auto_capture_config"]
    assert shown == table | {
        "state": {"payload_table": {"name": f"main.logs.{name}_old_payload", "status": "ACTIVE"}}
    }
    assert rest.query(name, CHAT).status_code == 200
    wait_for(lambda: len(rows(system, f"{name}_old")) == 1)
    # An update that does not speak of it keeps it, and one that would move it is refused.
    put = f"{ENDPOINTS}/{name}/config"
    kept = rest.call("PUT", put, config(entity(provider, "gpt")))
    assert kept["config"]["auto_capture_config"] == shown
    moved = config(entity(provider, "gpt"), auto_capture_config=table | {"schema_name": "other"})
    assert "disable it first" in refusal(rest, "PUT", put, moved)
    second = {"inference_table_config": TABLE}
    assert "both enabled" in refusal(rest, "PUT", f"{ENDPOINTS}/{name}/ai-gateway", second)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"enabled": True, "schema_name": "logs"}, "catalog_name is required"),
        ({"enabled": True, "catalog_name": "main"}, "schema_name is required"),
        ({"catalog_name": "main", "schema_name": "logs"}, "enabled is required"),
        (TABLE | {"catalog_name": "../main"}, "catalog_name must be"),
        (TABLE | {"schema_name": "a/b"}, "schema_name must be"),
        (TABLE | {"table_name_prefix": "."}, "table_name_prefix must be"),
        (TABLE | {"table_name_prefix": "x" * 129}, "table_name_prefix must be"),
        (TABLE | {"sampling_fraction": 1.5}, "sampling_fraction is 1.5"),
        (TABLE | {"redact": "masked"}, "nothing would look through requests"),
        (TABLE | {"redact": "everything"}, "redact 'everything' is unknown"),
    ],
)
def test_a_table_that_cannot_be_is_refused(
    rest: Rest, provider: OpenAiEmulator, table: Json, words: str
) -> None:
    body = endpoint(next(_NAMES), entity(provider), ai_gateway={"inference_table_config": table})
    assert words in refusal(rest, "POST", ENDPOINTS, body)


def test_a_table_moves_only_while_it_is_disabled(rest: Rest, provider: OpenAiEmulator) -> None:
    name = next(_NAMES)
    path = f"{ENDPOINTS}/{name}/ai-gateway"
    rest.create(endpoint(name, entity(provider), ai_gateway={"inference_table_config": TABLE}))
    elsewhere = {"inference_table_config": TABLE | {"schema_name": "other"}}
    assert "disable it first" in refusal(rest, "PUT", path, elsewhere)
    rest.call("PUT", path, {"inference_table_config": TABLE | {"enabled": False}})
    assert rest.call("PUT", path, elsewhere)["inference_table_config"]["schema_name"] == "other"


def test_a_table_is_one_endpoints(rest: Rest, provider: OpenAiEmulator) -> None:
    first, second = next(_NAMES), next(_NAMES)
    table = TABLE | {"table_name_prefix": "mine"}
    gateway = {"inference_table_config": table}
    rest.create(endpoint(first, entity(provider), ai_gateway=gateway))
    loud = {"inference_table_config": table | {"table_name_prefix": "MINE"}}
    body = endpoint(second, entity(provider), ai_gateway=loud)
    assert "belongs to another endpoint" in refusal(rest, "POST", ENDPOINTS, body)
    # Who made what is gone goes on with its table.
    rest.call("DELETE", f"{ENDPOINTS}/{first}")
    rest.create(body)
