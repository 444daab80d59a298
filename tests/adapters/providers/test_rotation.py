"""A credential is replaced while calls are under way: none is shown another call's, or its own."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from modelplane.adapters.providers.credentials.signers import TokenSigner
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.http.transport import tell_nobody
from modelplane.adapters.providers.registry import build_adapter
from modelplane.adapters.providers.types import HttpRequest, JsonObject, Task
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.snapshots.snapshot import ServedEntity
from modelplane.data_plane.telemetry.meters import Meters
from modelplane.data_plane.telemetry.metrics import Metrics
from modelplane.data_plane.upstreams.relay import Relay, Timeouts
from modelplane.data_plane.upstreams.upstream import Upstream
from tests.adapters.providers.conformance import (
    CASES,
    Gateway,
    ProviderCase,
    ProviderEmulator,
)
from tests.data_plane.fakes import NoLedger

LIFE = 3600.0
ROTATED = [
    pytest.param(case, stream, id=f"{case.name}-{'stream' if stream else 'whole'}")
    for case in CASES
    if isinstance(build_adapter(case.model("http://p")).signer, TokenSigner)
    for stream in ((False, True) if case.streams and case.task != Task.EMBEDDINGS else (False,))
]


@dataclass
class Answer:
    """A response that is there as a whole; see `HttpResponse`."""

    status: int
    data: bytes
    secrets: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    async def read(self) -> bytes:
        data, self.data = self.data, b""
        return data

    body = read

    def close(self) -> None:
        pass


class Talkative:
    """Stands for HTTP: gives out numbered tokens, and repeats what each query was signed with."""

    def __init__(self, case: ProviderCase, status: int, *, stream: bool) -> None:
        self.signed: list[str] = []
        self.held = asyncio.Event()
        self._case = case
        self._status = status
        self._stream = stream
        self._tokens = 0

    async def send(self, request: HttpRequest, stale: Callable[[], None] = tell_nobody) -> Answer:
        del stale
        if b"grant_type" in request.body:
            self._tokens += 1
            token = {"access_token": f"token-{self._tokens}", "expires_in": LIFE}
            return Answer(200, json.dumps(token).encode(), request.secrets)
        self.signed.append(request.headers["authorization"])
        await self.held.wait()
        message = f"no: {request.headers['authorization']}"
        said: JsonObject = {"error": {"message": message, "type": "api_error", "code": 400}}
        body = json.dumps(said).encode()
        if self._stream and self._status == 200:
            body = b"data: " + body + b"\n\n"
        return Answer(self._status, body, request.secrets)


@pytest.mark.parametrize(("case", "stream"), ROTATED)
@pytest.mark.parametrize("status", [400, 200])
async def test_two_calls_across_a_rotation_show_no_credential(
    case: ProviderCase, status: int, *, stream: bool
) -> None:
    clock = [1000.0]
    provider = Talkative(case, status, stream=stream)
    upstream = Upstream(provider, lambda: clock[0])
    accountant = Accountant(Metrics(CollectorRegistry()), Meters(), NoLedger(), lambda: 0.0)
    relay = Relay(upstream, accountant, Timeouts(10, 10))
    model = case.model("http://p")
    entity = ServedEntity("entity", model.provider, model.task, build_adapter(model), ())
    gateway = Gateway(case, cast("ProviderEmulator", provider), entity, relay, accountant)
    calls = []
    for number in (1, 2):
        calls.append(asyncio.create_task(gateway.outcome(stream=stream)))
        while f"Bearer token-{number}" not in provider.signed:
            await asyncio.sleep(0)
        clock[0] += LIFE
    provider.held.set()
    for outcome in await asyncio.gather(*calls):
        assert isinstance(outcome, AdapterError)
        assert "no: Bearer [redacted]" in str(outcome.detail)
        assert "token-" not in str(outcome.detail)
    await upstream.aclose()
