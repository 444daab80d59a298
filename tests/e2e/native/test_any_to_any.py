"""Every protocol against every model that chats at every provider's strict emulator."""

from collections.abc import Iterator, Mapping

import pytest
import requests

from modelplane.adapters.providers.types import Task
from tests.adapters.providers.conformance import CASES, ProviderCase
from tests.e2e.native.speakers import SPEAKERS, Speaker
from tests.e2e.references import create_by_reference
from tests.e2e.rest import ENDPOINTS, Rest
from tests.e2e.system import System
from tests.emulators.fleet import Fleet

CHATS = [case for case in CASES if case.task == Task.CHAT]
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
