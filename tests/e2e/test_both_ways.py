"""Queries that workers get as they are, and the same ones through an Envoy that transcodes all.

Both Envoys stand before the same workers; what a client sees must not tell them apart. One thing
does: whoever names no endpoint in the path and sends no JSON learns of the one first, or the other.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio

from modelplane.deploy.envoy.options import Address, Queries
from tests.deploy.envoy.envoys import running_envoy, until_healthy
from tests.e2e import nasty
from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.faults import LONG_PAUSE, Kind
from tests.emulators.fleet import Fleet
from tests.emulators.openai import OpenAiEmulator

GEMINI = {"contents": [{"parts": [{"text": "hello there"}]}]}
STREAM = {**CHAT, "stream": True}
NAMES = ("talk", "words", "vectors")
# How the length of an answer is told depends on the way, how often a provider was tried on chance.
OWN = {"content-length", "transfer-encoding", "date", "connection"}
OWN |= {"x-modelplane-attempts", "x-modelplane-attempt-errors"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Seen:
    """What a client sees of an answer."""

    status: int
    content: Any
    headers: dict[str, str]


@dataclass(frozen=True)
class Ways:
    """A client of the deployment's own Envoy, and one of an Envoy that transcodes all."""

    direct: Rest
    transcoded: Rest

    async def agree(
        self,
        path: str,
        body: object = None,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Seen:
        """Send a query both ways and return the answer."""

        def ask(rest: Rest) -> Seen:
            given = {"x-request-id": "both-ways", **(headers or {})}
            where = f"/serving-endpoints/{path}"
            answer = rest.send("POST", where, body, data=data, headers=given)
            names = {name.lower(): value for name, value in answer.headers.items()}
            seen = {name: value for name, value in names.items() if name not in OWN}
            # Which characters of a message are escaped is not the same.
            return Seen(answer.status_code, answer.content if answer.ok else answer.json(), seen)

        expected = await asyncio.to_thread(ask, self.transcoded)
        assert await asyncio.to_thread(ask, self.direct) == expected
        return expected


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(
    running_system: System, provider: OpenAiEmulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Ways]:
    """Give both ways to an endpoint for each task."""
    state = json.loads((running_system.data_dir / "up.json").read_text())
    control_plane = Address.parse(state["control_plane"]["grpc"])
    workers = [Address.parse(worker["listen"]) for worker in state["workers"]]
    directory = tmp_path_factory.mktemp("transcoding")
    transcoding = running_envoy(directory, control_plane, *workers, queries=Queries.TRANSCODED)
    async with transcoding as (public, admin):
        await until_healthy(admin, len(workers))
        other = replace(running_system, url=f"http://{public}")
        with Rest(running_system) as direct, Rest(other) as transcoded:
            models = ("gpt-4", "gpt-3.5-turbo-instruct", "text-embedding-3-small")
            for name, model, task in zip(
                NAMES, models, ("chat", "completions", "embeddings"), strict=True
            ):
                direct.create(endpoint(name, entity(provider, name, model, f"llm/v1/{task}")))
            yield Ways(direct, transcoded)
            for name in NAMES:
                direct.call("DELETE", f"{ENDPOINTS}/{name}")


@pytest.fixture
def ways(both: Ways, fleet: Fleet) -> Iterator[Ways]:
    """Give both ways; providers begin and end without faults."""
    fleet.forget()
    yield both
    fleet.forget()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("talk/invocations", CHAT),
        ("talk/invocations", STREAM),
        ("talk/invocations", {**STREAM, "stream_options": {"include_usage": True}}),
        ("words/invocations", {"prompt": "Once"}),
        ("words/invocations", {"prompt": "Once", "stream": True}),
        ("vectors/invocations", {"input": ["a", "b"]}),
        ("chat/completions", {**CHAT, "model": "talk"}),
        ("chat/completions?a=b", {**STREAM, "model": "talk"}),
        ("completions", {"prompt": "Once", "model": "words"}),
        ("embeddings", {"input": "a " * 50_000, "model": "vectors"}),
        # Of other APIs, which are handed over as they are in either mode.
        ("anthropic/v1/messages", {**CHAT, "model": "talk", "max_tokens": 9}),
        ("anthropic/v1/messages", {**STREAM, "model": "talk", "max_tokens": 9}),
        ("gemini/v1beta/models/talk:streamGenerateContent?alt=sse", GEMINI),
        ("gemini/v1beta/models/vectors:embedContent", {"content": {"parts": [{"text": "a"}]}}),
    ],
)
async def test_answers(ways: Ways, path: str, body: Json) -> None:
    seen = await ways.agree(path, body)
    assert seen.status == 200
    assert seen.headers["x-modelplane-config-version"] == "1"


@pytest.mark.parametrize("path", ["talk/invocations", "chat/completions"])
@pytest.mark.parametrize("name", nasty.BODIES)
async def test_bodies_that_are_no_query(ways: Ways, name: str, path: str) -> None:
    seen = await ways.agree(path, data=nasty.BODIES[name])
    assert 400 <= seen.status < 500


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("talk/invocations", {"messages": "x"}, {}, 400),
        ("none/invocations", CHAT, {}, 404),
        ("chat/completions", CHAT, {}, 400),
        ("chat/completions", {**CHAT, "model": "none"}, {}, 404),
        ("talk/invocations", CHAT, {"Authorization": "Bearer nobody"}, 401),
        ("talk/invocations", CHAT, {"Authorization": ""}, 401),
        ("talk/invocations", CHAT, {"x-modelplane-hops": "9"}, 400),
    ],
)
async def test_refusals(
    ways: Ways, path: str, body: Json, headers: dict[str, str], status: int
) -> None:
    assert (await ways.agree(path, body, headers=headers)).status == status


@pytest.mark.parametrize("body", [CHAT, STREAM])
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_failures_of_the_provider(
    ways: Ways, provider: OpenAiEmulator, status: int, body: Json
) -> None:
    provider.fail(status=status, retry_after=LONG_PAUSE)
    assert (await ways.agree("talk/invocations", body)).status >= 400


@pytest.mark.parametrize("kind", ["truncate", "end_early"])
async def test_streams_that_break_off(ways: Ways, provider: OpenAiEmulator, kind: Kind) -> None:
    provider.misbehave(kind, after_events=2)
    seen = await ways.agree("talk/invocations", STREAM)
    assert seen.status == 200
    assert seen.content.count(b"data: ") > 2
