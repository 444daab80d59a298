"""Every provider, task and mode as users meet them: OpenAI's client, Envoy, a worker, the wire.

The conformance cases say what is asked; they are run in detail, without Envoy, in
`tests/adapters/providers/test_conformance.py`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest
import requests
from openai import OpenAI

from modelplane.adapters.providers.registry import FACTORIES
from modelplane.adapters.providers.types import Task
from tests.adapters.providers.conformance import CASES, ProviderCase, read_choices, reassemble
from tests.e2e.references import create_by_reference
from tests.e2e.rest import ENDPOINTS, Json, Rest, check_shape
from tests.e2e.system import System
from tests.emulators.faults import LONG_PAUSE
from tests.emulators.fleet import Fleet

SERVED = "entity"
# Events of a provider's stream of which at least one is for the caller, and none is the last.
SOME_EVENTS = 4
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_stream = pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.streams and case.task != Task.EMBEDDINGS],
    ids=lambda case: case.name,
)


@pytest.fixture(scope="module")
def endpoints(running_system: System, fleet: Fleet) -> Iterator[Mapping[str, Json]]:
    """An endpoint for each case, as the answers to their creation show them."""
    created = {}
    with Rest(running_system) as rest:
        for case in CASES:
            model = case.model(fleet.emulators[case.provider].origin)
            created[case.name] = create_by_reference(rest, name_of(case), SERVED, model)
        yield created
        for case in CASES:
            rest.call("DELETE", f"{ENDPOINTS}/{name_of(case)}")


@pytest.fixture(autouse=True)
def well_behaved(fleet: Fleet, endpoints: object) -> Iterator[None]:
    assert endpoints
    fleet.forget()
    yield
    fleet.forget()


@pytest.fixture(scope="module")
def client(running_system: System) -> Iterator[OpenAI]:
    base = f"{running_system.url}/serving-endpoints"
    with OpenAI(api_key=running_system.token, base_url=base, max_retries=0) as made:
        yield made


def name_of(case: ProviderCase) -> str:
    """Return the name of a case's endpoint."""
    return "at-" + re.sub("[^a-z0-9-]", "-", case.name)


def resource(client: OpenAI, case: ProviderCase) -> Any:
    if case.task == Task.CHAT:
        return client.chat.completions
    return client.completions if case.task == Task.COMPLETIONS else client.embeddings


def check_whole(case: ProviderCase, answer: Json) -> None:
    assert answer["model"] == name_of(case)
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage.get("completion_tokens", 0)
    assert usage["total_tokens"] > 0
    if case.task != Task.EMBEDDINGS:
        assert all(choice["finish_reason"] for choice in answer["choices"])
        return
    asked = case.body["input"]
    assert isinstance(asked, list)
    assert [item["index"] for item in answer["data"]] == list(range(len(asked)))
    assert all(isinstance(number, float) for number in answer["data"][0]["embedding"])


def check_events(lines: list[str]) -> list[Any]:
    """Return the values in the lines of a stream, which has no other lines and ends as it must."""
    assert lines[1::2] == [""] * (len(lines) // 2)
    assert all(line.startswith("data: ") for line in lines[::2])
    *values, last = [line.removeprefix("data: ") for line in lines[::2]]
    return [*map(json.loads, values), last]


def test_every_provider_is_run_here(fleet: Fleet) -> None:
    assert {case.provider for case in CASES} == set(FACTORIES) == set(fleet.emulators)


@each_case
def test_a_whole_answer(case: ProviderCase, client: OpenAI, endpoints: Mapping[str, Json]) -> None:
    endpoint = endpoints[case.name]
    assert (endpoint["state"]["ready"], endpoint["task"]) == ("READY", case.task)
    raw = resource(client, case).with_raw_response.create(model=name_of(case), **case.body)
    check_whole(case, raw.parse().model_dump())
    assert raw.headers["served-model-name"] == SERVED
    assert raw.headers["x-modelplane-config-version"] == "1"
    assert raw.headers["x-request-id"]


@each_stream
def test_a_streamed_answer_is_the_whole_one(
    case: ProviderCase, client: OpenAI, running_system: System
) -> None:
    create = resource(client, case).create
    whole = create(model=name_of(case), **case.body).model_dump()
    options: Json = {"stream": True, "stream_options": {"include_usage": True}}
    stream = create(model=name_of(case), **case.body, **options)
    *chunks, last = [chunk.model_dump() for chunk in stream]
    assert stream.response.headers["served-model-name"] == SERVED
    assert reassemble(chunks) == read_choices(whole)
    assert (last["choices"], last["usage"]) == ([], whole["usage"])

    with Rest(running_system) as rest:
        plain = rest.query(name_of(case), {**case.body, "stream": True})
    assert plain.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, end = check_events(plain.text.split("\n")[:-1])
    assert end == "[DONE]"
    assert reassemble(events) == read_choices(whole)
    # Where nothing is said of it, the usage comes with the last content.
    told = [event for event in events if event.get("usage")]
    assert told == [events[-1]]
    assert told[0]["usage"]["total_tokens"] == whole["usage"]["total_tokens"]


@each_case
def test_a_stream_that_the_provider_lacks_is_refused(case: ProviderCase, client: OpenAI) -> None:
    if case.streams and case.task != Task.EMBEDDINGS:
        return
    extra = {"extra_body": {"stream": True}} if case.task == Task.EMBEDDINGS else {"stream": True}
    with pytest.raises(openai.BadRequestError, match="stream"):
        resource(client, case).create(model=name_of(case), **case.body, **extra)


@each_stream
def test_an_error_in_mid_stream_is_an_event(
    case: ProviderCase, running_system: System, fleet: Fleet
) -> None:
    emulator = fleet.emulators[case.provider]
    kind = "error_event" if case.error_event else "truncate"
    emulator.misbehave(kind, after_events=SOME_EVENTS, held=True)  # type: ignore[arg-type]
    with requests.post(
        f"{running_system.url}/serving-endpoints/{name_of(case)}/invocations",
        json={**case.body, "stream": True},
        headers=running_system.headers,
        stream=True,
        timeout=120,
    ) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines(chunk_size=None, decode_unicode=True)
        first = next(lines)
        emulator.resume()
        *events, end = check_events([first, *lines])
    check_shape(answer)
    assert all(event["choices"] for event in events)
    failure = json.loads(end)["error"]
    assert set(failure) == {"message", "type", "code", "param"}
    assert case.provider in failure["message"]


@each_case
def test_a_refusal_of_the_provider_keeps_its_status(
    case: ProviderCase, client: OpenAI, fleet: Fleet
) -> None:
    fleet.emulators[case.provider].fail(status=429, retry_after=LONG_PAUSE)
    with pytest.raises(openai.RateLimitError) as refused:
        resource(client, case).create(model=name_of(case), **case.body)
    assert refused.value.response.headers["retry-after"] == str(LONG_PAUSE)
    assert case.provider in refused.value.message
    assert case.secret not in refused.value.message
