"""A refused credential is replaced, and the request sent once more, where that is allowed."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from modelplane.adapters.providers.base import Adapter
from modelplane.adapters.providers.credentials.cache import Credential
from modelplane.adapters.providers.credentials.signers import Signer
from modelplane.adapters.providers.http.transport import HttpResponse, HttpTransport, tell_nobody
from modelplane.adapters.providers.types import HttpRequest
from modelplane.data_plane.upstreams.upstream import Upstream
from tests.data_plane.fakes import Repeats

REQUEST = HttpRequest("p", "http://p/", {}, b"{}")
REFUSED = "CredentialRefused"


class Response:
    def __init__(self, status: int) -> None:
        self.status = status
        self.headers: dict[str, str] = {}
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Provider:
    """Accepts credentials from a number on; also the source that numbers them."""

    key = "source"

    def __init__(self, first_good: int) -> None:
        self.first_good = first_good
        self.fetches = 0
        self.sent: list[int] = []
        self.responses: list[Response] = []

    async def send(
        self, request: HttpRequest, stale: Callable[[], None] = tell_nobody
    ) -> HttpResponse:
        del stale
        number = int(request.headers["n"])
        self.sent.append(number)
        await asyncio.sleep(0)
        self.responses.append(Response(200 if number >= self.first_good else 401))
        return cast("HttpResponse", self.responses[-1])

    async def fetch(self, transport: HttpTransport, now: float) -> Credential:
        del transport
        self.fetches += 1
        return Credential((str(self.fetches),), now + 3600)


class NumberSigner(Signer):
    """Sends the number of its credential."""

    __slots__ = ("source",)

    def __init__(self, source: Any) -> None:
        self.source = source

    def sign(self, request: HttpRequest, credential: Credential, now: float) -> HttpRequest:
        del now
        return HttpRequest(request.provider, request.url, {"n": credential.values[0]}, b"{}")


class Numbering(Adapter):
    """Has its requests signed with numbers."""

    def __init__(self, source: Any) -> None:
        self.signer = NumberSigner(source)

    plan = parse_answers = stream_parser = parse_error = cast("Any", None)


class Budget(Repeats):
    """Allows so many repetitions, beside those in passing."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def may_repeat(self, error: str, *, in_passing: bool = False) -> bool:
        if not in_passing:
            self.left -= 1
        return self.left >= 0 and super().may_repeat(error)


def upstream_of(provider: Provider) -> Upstream:
    return Upstream(cast("HttpTransport", provider), lambda: 0.0)


async def test_a_refused_credential_is_told_and_replaced() -> None:
    provider, resends = Provider(first_good=2), Repeats()
    response = await upstream_of(provider).open(Numbering(provider), REQUEST, resends)
    assert (response.status, provider.sent) == (200, [1, 2])
    assert provider.responses[0].closed
    assert resends.told == [REFUSED]


async def test_one_that_is_refused_again_is_not_replaced_again() -> None:
    provider, resends = Provider(first_good=9), Repeats()
    response = await upstream_of(provider).open(Numbering(provider), REQUEST, resends)
    assert (response.status, provider.sent) == (401, [1, 2])
    assert resends.told == [REFUSED]


@pytest.mark.parametrize("budget", [1, 0])
async def test_of_many_calls_with_a_revoked_credential_one_pays(budget: int) -> None:
    provider, resends = Provider(first_good=2), Budget(budget)
    upstream, adapter = upstream_of(provider), Numbering(provider)
    calls = [upstream.open(adapter, REQUEST, resends) for _ in range(50)]
    statuses = {response.status for response in await asyncio.gather(*calls)}
    assert statuses == ({200} if budget else {401})
    # Where none may repeat its request, none throws the credential away either.
    assert provider.fetches == (2 if budget else 1)
    assert len(provider.sent) == (100 if budget else 50)
