"""Short-lived credentials: one fetch for all who wait, ahead of expiry, whoever leaves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from modelplane.adapters.providers.credentials.cache import Credential, CredentialCache
from modelplane.adapters.providers.errors import CredentialUnavailable, ProviderUnavailable
from modelplane.adapters.providers.http.client import Http1Transport
from modelplane.adapters.providers.http.transport import HttpTransport

LIFE = 3600.0


class Source:
    """Hands out numbered credentials, when the test lets it."""

    key = "source"

    def __init__(self) -> None:
        self.fetches = 0
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.failing = False

    async def fetch(self, transport: HttpTransport, now: float) -> Credential:
        del transport
        self.fetches += 1
        number = self.fetches
        await self.may_go_on.wait()
        if self.failing:
            raise ProviderUnavailable("p", "no token")
        return Credential((str(number),), now + LIFE)


class Wall:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def cache(wall: Wall) -> AsyncIterator[CredentialCache]:
    async with Http1Transport() as transport:
        cache = CredentialCache(transport, wall)
        yield cache
        await cache.aclose()


async def test_two_hundred_waiters_cause_one_fetch(cache: CredentialCache) -> None:
    source = Source()
    got = await asyncio.gather(*(cache.get(source) for _ in range(200)))
    assert {item.values for item in got} == {("1",)}
    assert source.fetches == 1


async def test_it_is_replaced_in_the_background_before_it_expires(
    cache: CredentialCache, wall: Wall
) -> None:
    source = Source()
    await cache.get(source)
    wall.now += LIFE - 301
    assert (await cache.get(source)).values == ("1",)
    assert source.fetches == 1
    wall.now += 2
    source.may_go_on.clear()
    # Nobody waits for the new one.
    assert (await cache.get(source)).values == ("1",)
    source.may_go_on.set()
    async with asyncio.timeout(60):
        while (await cache.get(source)).values != ("2",):
            await asyncio.sleep(0)
    assert source.fetches == 2


async def test_it_is_replaced_when_the_clock_is_set_back(
    cache: CredentialCache, wall: Wall
) -> None:
    source = Source()
    await cache.get(source)
    wall.now -= LIFE / 2
    assert (await cache.get(source)).values == ("1",)
    async with asyncio.timeout(60):
        while (replaced := await cache.get(source)).values != ("2",):
            await asyncio.sleep(0)
    assert replaced.expires_at == wall.now + LIFE
    # Once for each time that it is set.
    assert await cache.get(source) is replaced
    assert source.fetches == 2


async def test_a_clock_that_jumps_ahead_and_back_costs_fetches_alone(
    cache: CredentialCache, wall: Wall
) -> None:
    source = Source()
    for number, jump in enumerate((0, 10 * LIFE, -10 * LIFE), 1):
        wall.now += jump
        async with asyncio.timeout(60):
            while (await cache.get(source)).values != (str(number),):
                await asyncio.sleep(0)
    assert source.fetches == 3


async def test_an_expired_one_is_not_used(cache: CredentialCache, wall: Wall) -> None:
    source = Source()
    await cache.get(source)
    wall.now += LIFE
    assert (await cache.get(source)).values == ("2",)


async def test_a_refused_one_is_fetched_again_once(cache: CredentialCache) -> None:
    source = Source()
    refused = await cache.get(source)
    cache.forget(source, refused)
    replaced = await cache.get(source)
    # A second caller whose request was refused with the old one does not drop the new one.
    cache.forget(source, refused)
    assert (await cache.get(source)) is replaced
    assert source.fetches == 2


async def test_a_failure_reaches_who_waits_and_is_not_kept(cache: CredentialCache) -> None:
    source = Source()
    source.failing = True
    with pytest.raises(CredentialUnavailable):
        await cache.get(source)
    source.failing = False
    assert (await cache.get(source)).values == ("2",)


async def test_a_first_waiter_who_leaves_does_not_take_the_others_along(
    cache: CredentialCache,
) -> None:
    source = Source()
    source.may_go_on.clear()
    first = asyncio.ensure_future(cache.get(source))
    second = asyncio.ensure_future(cache.get(source))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    source.may_go_on.set()
    assert (await second).values == ("1",)
    assert source.fetches == 1


async def test_sources_with_the_same_key_share_one(cache: CredentialCache) -> None:
    one, other = Source(), Source()
    assert (await cache.get(one)) is (await cache.get(other))
    assert other.fetches == 0
