"""Every protocol against every model that chats at every provider's strict emulator."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
import requests

from modelplane.adapters.providers.types import Task
from modelplane.data_plane.calls.record import CLIENT_CLOSED
from tests.adapters.providers.conformance import CASES, ProviderCase
from tests.e2e.native.speakers import IMAGE, SPEAKERS, Speaker
from tests.e2e.references import create_by_reference
from tests.e2e.rest import ENDPOINTS, Rest
from tests.e2e.system import System, wait_for
from tests.emulators.fleet import Fleet

CHATS = [case for case in CASES if case.task == Task.CHAT]
TRACKED = {"usage_tracking_config": {"enabled": True}}
TOOL = "weather"
# As the emulators hear it, in the words of each.
SAID = "hello there"


@pytest.fixture(scope="module")
def endpoints(running_system: System, fleet: Fleet) -> Iterator[Mapping[str, str]]:
    """Give the name of each case's endpoint."""
    names = {case.name: f"any-{index}" for index, case in enumerate(CHATS)}
    with Rest(running_system) as rest:
        for case in CHATS:
            model = case.model(fleet.emulators[case.provider].origin)
            create_by_reference(rest, names[case.name], "it", model)
            rest.call("PUT", f"{ENDPOINTS}/{names[case.name]}/ai-gateway", TRACKED)
        yield names
        for name in names.values():
            rest.call("DELETE", f"{ENDPOINTS}/{name}")


@pytest.fixture(autouse=True)
def well_behaved(fleet: Fleet) -> None:
    fleet.forget()


each_speaker = pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)
each_chat = pytest.mark.parametrize("case", CHATS, ids=lambda case: case.name)
whole_and_streamed = pytest.mark.parametrize("streams", [False, True], ids=["whole", "stream"])


def check_unstreamed(answer: requests.Response) -> None:
    assert answer.status_code == 400
    assert "stream" in answer.json()["message"]


@each_speaker
@each_chat
@whole_and_streamed
def test_a_conversation(
    running_system: System,
    endpoints: Mapping[str, str],
    case: ProviderCase,
    speaker: Speaker,
    *,
    streams: bool,
) -> None:
    name = endpoints[case.name]
    body = speaker.body(name, SAID, streams=streams)
    if streams and not case.streams:
        check_unstreamed(speaker.post(running_system, body, name, streams=streams))
        return
    answer = speaker.ask(running_system, body, name, streams=streams)
    assert SAID in speaker.text(answer)
    read, written = speaker.usage(answer)
    assert read > 0
    assert written > 0


@each_speaker
@each_chat
@whole_and_streamed
def test_a_tool_round_trip(
    running_system: System,
    endpoints: Mapping[str, str],
    case: ProviderCase,
    speaker: Speaker,
    *,
    streams: bool,
) -> None:
    name = endpoints[case.name]
    body = speaker.body(name, f"call {TOOL}", streams=streams, tool=TOOL)
    asked = speaker.post(running_system, body, name, streams=streams)
    if streams and not case.streams:
        check_unstreamed(asked)
        return
    if asked.status_code == 400:
        # Some models take no tools: the refusal says so.
        assert "tool" in asked.json()["message"].lower()
        return
    answer = speaker.ask(running_system, body, name, streams=streams)
    (call,) = speaker.calls(answer)
    assert call.name == TOOL
    again = speaker.answered(body, answer, call, "rain")
    assert speaker.text(speaker.ask(running_system, again, name, streams=streams))


def is_told(answer: requests.Response, *words: str) -> bool:
    """Tell whether a refusal, or the header of what was adapted, names one of some words."""
    said = answer.json()["message"] if answer.status_code == 400 else ""
    said += answer.headers.get("x-modelplane-adapted-params", "")
    return any(word in said.lower() for word in words)


@each_speaker
def test_an_image_arrives_or_is_refused(
    running_system: System, endpoints: Mapping[str, str], fleet: Fleet, speaker: Speaker
) -> None:
    seen = set()
    for case in CHATS:
        name = endpoints[case.name]
        body = speaker.with_image(speaker.body(name, SAID))
        answer = speaker.post(running_system, body, name)
        if answer.status_code == 200:
            seen.add(case.provider)
            assert IMAGE.encode() in fleet.emulators[case.provider].requests[-1].raw, case.name
            assert SAID in speaker.text(answer.json())
        else:
            assert is_told(answer, "image", "texts only"), (case.name, answer.text)
    assert len(seen) > len({case.provider for case in CHATS}) // 2


def translated(speaker: Speaker) -> list[ProviderCase]:
    """Return the cases but those where the emulated Responses API answers, a simple one."""
    passes = speaker.name == "responses"
    return [case for case in CHATS if not (passes and case.provider == "openai")]


@each_speaker
def test_an_object_is_answered_or_refused(
    running_system: System, endpoints: Mapping[str, str], speaker: Speaker
) -> None:
    for case in translated(speaker):
        name = endpoints[case.name]
        body = speaker.with_schema(speaker.body(name, SAID))
        answer = speaker.post(running_system, body, name)
        if answer.status_code == 200 and not is_told(answer, "format"):
            told = json.loads(speaker.text(answer.json()))
            assert isinstance(told, dict), case.name
        else:
            assert is_told(answer, "format", "schema", "json"), (case.name, answer.text)


@each_speaker
def test_an_answer_ends_at_its_limit(
    running_system: System, endpoints: Mapping[str, str], speaker: Speaker
) -> None:
    for case in translated(speaker):
        # Its API does not say why an answer has ended.
        if "chat-bison" in case.name:
            continue
        name = endpoints[case.name]
        body = speaker.with_limit(speaker.body(name, SAID), 2)
        answer = speaker.post(running_system, body, name)
        assert answer.status_code == 200, (case.name, answer.text)
        assert speaker.is_cut(answer.json()), (case.name, answer.text)


@each_speaker
@whole_and_streamed
def test_calls_may_be_several(
    running_system: System, endpoints: Mapping[str, str], speaker: Speaker, *, streams: bool
) -> None:
    several = set()
    for case in CHATS:
        name = endpoints[case.name]
        body = speaker.body(name, f"twice call {TOOL}", streams=streams, tool=TOOL)
        if not speaker.post(running_system, body, name, streams=streams).ok:
            continue
        answer = speaker.ask(running_system, body, name, streams=streams)
        calls = speaker.calls(answer)
        assert {call.name for call in calls} == {TOOL}, case.name
        if len(calls) > 1:
            several.add(case.provider)
            assert len({call.id for call in calls}) == len(calls) or speaker.name == "gemini"
    assert {"anthropic", "amazon-bedrock"} <= several


@each_speaker
@whole_and_streamed
def test_thoughts_are_shown_and_given_back(
    running_system: System,
    endpoints: Mapping[str, str],
    fleet: Fleet,
    speaker: Speaker,
    *,
    streams: bool,
) -> None:
    """Models that check their signed thoughts, as Claude and Gemini do, get them as they were."""
    thinking = set()
    for case in CHATS:
        name = endpoints[case.name]
        asked = speaker.body(name, f"call {TOOL}", streams=streams, tool=TOOL)
        body = speaker.with_thinking(asked)
        answer = speaker.post(running_system, body, name, streams=streams)
        sent = fleet.emulators[case.provider].requests[-1].raw if answer.ok else b""
        if not answer.ok or not (b"think" in sent or b"reason" in sent):
            told = ("think", "reason", "tool", "stream")
            assert is_told(answer, *told), (case.name, answer.text)
            continue
        first = speaker.ask(running_system, body, name, streams=streams)
        if not speaker.thoughts(first):
            continue
        thinking.add(case.provider)
        (call,) = speaker.calls(first)
        again = speaker.answered(body, first, call, "rain")
        assert speaker.text(speaker.ask(running_system, again, name, streams=streams)), case.name
    assert {"anthropic", "cohere", "google-cloud-vertex-ai"} <= thinking


@each_speaker
def test_who_goes_away_is_not_waited_for(
    running_system: System, endpoints: Mapping[str, str], fleet: Fleet, speaker: Speaker
) -> None:
    streaming = [case for case in CHATS if case.streams]
    with Rest(running_system) as rest:
        before = left(rest)
    for emulator in fleet.emulators.values():
        emulator.misbehave("stall_stream", after_events=4)
    for case in streaming:
        name = endpoints[case.name]
        body = speaker.body(name, SAID, streams=True)
        sent = {"authorization": f"Bearer {running_system.token}"}
        url = f"{running_system.url}{speaker.path(name, streams=True)}"
        with requests.post(url, json=body, headers=sent, timeout=60, stream=True) as answer:
            assert next(answer.iter_content(None)), case.name
    with Rest(running_system) as rest:
        wait_for(lambda: left(rest) >= before + Counter(endpoints[one.name] for one in streaming))


def left(rest: Rest) -> Counter[str]:
    """Return how many callers have gone away from each endpoint."""
    totals = rest.call("GET", "/api/2.0/usage?group_by=endpoint,status_code")["totals"]
    gone = {
        row["endpoint"]: row["requests"] for row in totals if row["status_code"] == CLIENT_CLOSED
    }
    return Counter(gone)
