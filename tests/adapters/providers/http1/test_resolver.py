import asyncio
import socket
from collections.abc import AsyncIterator, Sequence

import aiodns
import pytest

from modelplane.adapters.providers.errors import HostUnresolved
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.http1 import resolver as module
from modelplane.adapters.providers.http1.errors import NameUnresolved, TooManyLookups
from modelplane.adapters.providers.http1.resolver import Resolver
from modelplane.adapters.providers.types import HttpRequest
from tests.adapters.providers.upstream import Upstream, document


class Names:
    """Answers lookups when told to.

    Attributes:
        asked: Names, in order.
        answered: Set when all are answered: those that begin with `x` with an error.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answered = asyncio.Event()

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        await self.answered.wait()
        if host.startswith("x"):
            raise OSError("no such name")
        return ["192.0.2.1", "2001:db8::1"]


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
async def resolver(names: Names) -> AsyncIterator[Resolver]:
    resolver = Resolver(names)
    yield resolver
    await resolver.aclose()


async def _asked(names: Names, count: int) -> None:
    while len(names.asked) < count:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", ("192.0.2.7", 80)),
        ("::1", ("::1", 80, 0, 0)),
        ("fe80::1%3", ("fe80::1", 80, 0, 3)),
    ],
)
async def test_an_address_is_not_looked_up(
    resolver: Resolver, names: Names, host: str, address: object
) -> None:
    [(*_, found)] = await resolver.resolve(host, 80)
    assert found == address
    assert names.asked == []


async def test_equal_names_are_looked_up_once(resolver: Resolver, names: Names) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(resolver.resolve("a.test", port)) for port in (80, 443)]
        await _asked(names, 1)
        names.answered.set()
    assert names.asked == ["a.test"]
    assert [[ends[:2] for *_, ends in task.result()] for task in tasks] == [
        [("192.0.2.1", port), ("2001:db8::1", port)] for port in (80, 443)
    ]


async def test_who_leaves_ends_nobody_elses_lookup(resolver: Resolver, names: Names) -> None:
    first = asyncio.create_task(resolver.resolve("a.test", 80))
    await _asked(names, 1)
    second = asyncio.create_task(resolver.resolve("a.test", 80))
    first.cancel()
    names.answered.set()
    assert await second
    assert names.asked == ["a.test"]


async def test_a_failure_is_remembered_for_a_while(
    resolver: Resolver, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    names.answered.set()
    for _ in range(3):
        with pytest.raises(NameUnresolved):
            await resolver.resolve("x.test", 80)
    assert names.asked == ["x.test"]
    monkeypatch.setattr(module, "_FAILURE_SECONDS", 0.0)
    resolver._failed.clear()
    for _ in range(2):
        with pytest.raises(NameUnresolved):
            await resolver.resolve("x.test", 80)
    assert names.asked == ["x.test"] * 3


async def test_failures_are_remembered_of_so_many_names(resolver: Resolver, names: Names) -> None:
    names.answered.set()
    for number in range(module._MAX_FAILURES + 10):
        with pytest.raises(NameUnresolved):
            await resolver.resolve(f"x{number}.test", 80)
    assert len(resolver._failed) == module._MAX_FAILURES


async def test_a_silent_name_is_given_up(
    resolver: Resolver, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOKUP_SECONDS", 0.01)
    with pytest.raises(NameUnresolved):
        await resolver.resolve("a.test", 80)
    assert names.asked == ["a.test"]


async def test_one_owner_does_not_take_all_lookups(
    resolver: Resolver, names: Names, caplog: pytest.LogCaptureFixture
) -> None:
    limit = module.MAX_LOOKUPS_OF_OWNER
    tasks = [
        asyncio.create_task(resolver.resolve(f"x{number}.test", 80, "mallory"))
        for number in range(limit)
    ]
    await _asked(names, limit)
    for _ in range(2):
        with pytest.raises(TooManyLookups):
            await resolver.resolve("another.test", 80, "mallory")
    honest = asyncio.create_task(resolver.resolve("honest.test", 80, "alice"))
    await _asked(names, limit + 1)
    names.answered.set()
    assert await honest
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await resolver.resolve("another.test", 80, "mallory")
    assert [record.message for record in caplog.records] == [
        "too many host names are being looked up"
    ]


async def test_lookups_have_a_bound_in_all(resolver: Resolver, names: Names) -> None:
    tasks = [
        asyncio.create_task(resolver.resolve(f"a{number}.test", 80, f"owner-{number}"))
        for number in range(module.MAX_LOOKUPS)
    ]
    await _asked(names, module.MAX_LOOKUPS)
    with pytest.raises(TooManyLookups):
        await resolver.resolve("another.test", 80, "alice")
    names.answered.set()
    await asyncio.gather(*tasks)


async def test_silent_name_servers_hold_nobody_else(upstream: Upstream) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        async with Http1Transport() as transport:
            assert transport._pool is not None
            resolver = transport._pool._resolver
            resolver._dns = aiodns.DNSResolver([server], timeout=60, tries=1)
            slow = [
                asyncio.create_task(resolver.resolve(f"x{number}.test", 80)) for number in range(64)
            ]
            await asyncio.sleep(0)
            for host in ("127.0.0.1", "localhost"):
                upstream.say(document(b"ok", headers="connection: close\r\n"))
                url = upstream.url.replace("127.0.0.1", host)
                response = await transport.send(HttpRequest("p", url, {}, b"{}"))
                assert await response.body() == b"ok"
                response.close()
            assert not any(task.done() for task in slow)
            # As when their time is over.
            resolver._dns.cancel()
            failed = await asyncio.gather(*slow, return_exceptions=True)
            assert {type(error) for error in failed} == {NameUnresolved}


async def test_a_name_without_an_address_says_nothing_of_the_upstream() -> None:
    async def lookup(host: str) -> Sequence[str]:
        raise OSError(host)

    async with Http1Transport(lookup=lookup) as transport:
        with pytest.raises(HostUnresolved) as caught:
            await transport.send(HttpRequest("p", "http://a.test/", {}, b"{}"))
    assert (caught.value.outage, caught.value.retryable, caught.value.fallback) == (
        False,
        False,
        True,
    )
