"""One corpus, sent as REST callers do and with typed messages: all that comes of it is equal."""

from typing import Any

import pytest

from modelplane.adapters.shared.rpc.metadata import CONFIG_VERSION, REQUEST_ID, SERVED_MODEL
from tests.data_plane.conftest import Answer, System, metadata
from tests.data_plane.corpus import CASES, REFUSED, Case
from tests.data_plane.messages import (
    COMPLETIONS,
    EMBEDDINGS,
    endpoint,
    endpoint_config,
    snapshot,
)
from tests.data_plane.typed import (
    TypedAnswer,
    as_json,
    call_stream,
    call_unary,
    canonical,
    exact,
)

STREAMED = {name: case for name, case in CASES.items() if case.streams}
REQUEST = "r-1"


@pytest.fixture
async def served(system: System) -> System:
    text = system.entity("text", task=COMPLETIONS, model="gpt-3.5-turbo-instruct")
    vector = system.entity("vector", task=EMBEDDINGS, model="text-embedding-3-small")
    locked = system.entity("locked", openai_api_key_plaintext="sk-wrong")
    await system.apply(
        snapshot(
            1,
            endpoint("chat", endpoint_config(system.entity(), version=7)),
            endpoint("reasoning", endpoint_config(system.entity("o", model="o3-mini"))),
            endpoint("completions", endpoint_config(text)),
            endpoint("embeddings", endpoint_config(vector)),
            endpoint("unknown", endpoint_config(system.entity("u", model="gpt-9"))),
            endpoint("locked", endpoint_config(locked)),
            endpoint("new"),
        )
    )
    return system


async def rest(served: System, case: Case, **more: Any) -> Answer:
    return await served.openai(case.method, case.rest_body | more, x_request_id=REQUEST)


def assert_same_request(served: System) -> None:
    """Check that the provider got the same request twice."""
    first, second = served.emulator.requests[-2:]
    assert exact(first.body) == exact(second.body)
    assert first.headers["Authorization"] == second.headers["Authorization"]


def assert_same_headers(answer: Answer, typed: TypedAnswer) -> None:
    assert typed.headers[REQUEST_ID] == REQUEST
    for name in (REQUEST_ID, SERVED_MODEL, CONFIG_VERSION):
        assert typed.headers[name] == answer.headers[name]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_answers_are_equal(served: System, case: Case) -> None:
    answer = await rest(served, case)
    typed = await call_unary(served.channel, case, metadata(x_request_id=REQUEST))
    assert (answer.status, typed.status) == (200, 200), (answer.message, typed.message)
    assert_same_request(served)
    assert_same_headers(answer, typed)
    [message] = typed.messages
    assert not message.HasField("extra_fields")
    assert as_json(message) == canonical(answer.json)


@pytest.mark.parametrize("usage", [False, True], ids=["", "with usage"])
@pytest.mark.parametrize("case", STREAMED.values(), ids=STREAMED)
async def test_streams_are_equal(served: System, case: Case, *, usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    answer = await rest(served, case, stream=True, **options)
    typed = await call_stream(served.channel, case, metadata(x_request_id=REQUEST), **options)
    assert (answer.status, typed.status) == (200, 200), (answer.message, typed.message)
    assert_same_request(served)
    assert_same_headers(answer, typed)
    *events, done = answer.events
    assert done == "[DONE]"
    assert [as_json(message) for message in typed.messages] == [canonical(one) for one in events]
    # In a chunk of its own for those who ask, else with the last choices.
    telling = [message for message in typed.messages if message.HasField("usage")]
    assert [bool(message.choices) for message in telling] == [not usage]


def sources() -> list[Any]:
    return [
        pytest.param(case, stream, id=f"{name}{' streamed' if stream else ''}")
        for name, case in REFUSED.items()
        for stream in ((False, True) if case.streams else (False,))
    ]


@pytest.mark.parametrize(("case", "stream"), sources())
async def test_refusals_are_equal(served: System, case: Case, stream: bool) -> None:  # noqa: FBT001
    if case.fault:
        served.emulator.fail(**case.fault)
    answer = await rest(served, case, **({"stream": True} if stream else {}))
    call = call_stream if stream else call_unary
    typed = await call(served.channel, case, metadata(x_request_id=REQUEST))
    assert answer.status >= 400
    assert (typed.status, typed.error_code) == (answer.status, answer.error_code)
    assert normal(typed.message) == normal(answer.message)
    own = {key: typed.trailers.get(key) for key in ("retry-after", REQUEST_ID)}
    assert own == {key: answer.headers.get(key) for key in ("retry-after", REQUEST_ID)}
    assert not typed.messages


def normal(message: str) -> str:
    """Return a message, but for the one on what is no JSON: only REST callers have written any."""
    return "" if "JSON" in message else message


@pytest.mark.parametrize("token", [None, "wrong"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_stranger_is_refused(
    served: System,
    token: str | None,
    stream: bool,  # noqa: FBT001
) -> None:
    call = call_stream if stream else call_unary
    typed = await call(served.channel, CASES["plain"], metadata(token))
    assert (typed.status, typed.error_code) == (401, "UNAUTHENTICATED")
    assert not served.emulator.requests


async def test_accounts_are_equal(served: System) -> None:
    value = served.registry.get_sample_value
    labels = {"endpoint": "chat", "served_entity": "gpt-4", "task": "llm/v1/chat", "status": "200"}
    await rest(served, CASES["plain"])
    assert value("modelplane_requests_total", labels) == 1
    await call_unary(served.channel, CASES["plain"], metadata())
    await call_stream(served.channel, CASES["plain"], metadata())
    assert value("modelplane_requests_total", labels) == 3
    refused = labels | {"status": "400", "served_entity": "", "task": ""}
    await call_unary(served.channel, REFUSED["no messages"], metadata())
    assert value("modelplane_requests_total", refused) == 1
    assert value("modelplane_requests_in_flight") == 0
