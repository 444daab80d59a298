"""Outside issuers: what the settings may say, and keys that come, change and go, on both planes."""

import asyncio
import json
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import pytest
from modelserving.worker.v1.snapshot_pb2 import VerificationKey

from modelplane.adapters.shared.oidc import IssuerUnavailable
from modelplane.control_plane.errors import StoreUnavailable, Unauthenticated
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.issuers import KnownIssuers
from modelplane.control_plane.identity.outside_issuers import OutsideIssuers, parse_issuers
from modelplane.control_plane.principal import PrincipalKind
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.issuers import load_outside_issuers
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import PrincipalRow
from modelplane.data_plane import errors as data_plane_errors
from modelplane.data_plane.access import authenticate
from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.snapshot import Snapshot
from tests.adapters.shared.jwt import forgeries
from tests.adapters.shared.jwt.issuers import (
    AUDIENCE,
    ISSUER,
    NOW,
    all_keys,
    claims,
    issuer_resource,
    key_pair,
)
from tests.control_plane.conftest import FakeClock
from tests.effort import times
from tests.emulators.oidc import OidcEmulator

SETTING = {"issuer": "https://login.example.com", "audiences": ["modelplane"]}


class Planes:
    """A control plane's replica and a worker that it keeps informed."""

    def __init__(self, database: Database, cache: SnapshotCache, clock: FakeClock) -> None:
        self.unknown_keys: list[str] = []
        issuers = KnownIssuers(cache, clock, self.unknown_keys.append)
        self._authenticator = Authenticator(database, clock, issuers)
        self._cache = cache
        self._clock = clock
        self._snapshot = Snapshot(store_id="none")

    async def follow(self) -> None:
        await self._cache.refresh()
        builder = SnapshotBuilder(self._snapshot, Random(1))
        for delta in self._cache.changes_since(self._snapshot.revision):
            builder.apply(delta)
        self._snapshot = builder.build(self._cache.revision, self._cache.store_id)

    async def admits(self, token: str) -> bool:
        """Tell whether the token is let in: by both planes alike."""
        found = {await self._controls(token), self._works(token)}
        assert len(found) == 1, token
        return found.pop()

    async def _controls(self, token: str) -> bool:
        try:
            return (await self._authenticator.authenticate(f"Bearer {token}")).name == "alice"
        except Unauthenticated:
            return False

    def _works(self, token: str) -> bool:
        metadata = {"authorization": f"Bearer {token}"}
        try:
            return authenticate(self._snapshot, metadata, self._clock()).name == "alice"
        except data_plane_errors.Unauthenticated:
            return False


@pytest.fixture
async def planes(database: Database, sealer: Sealer, clock: FakeClock) -> Planes:
    clock.now_ms = NOW * 1000
    cache = SnapshotCache(database, ResourceBuilder(CredentialResolver(sealer)))
    await cache.load()
    async with database.write() as transaction:
        row = PrincipalRow(id="7", kind=PrincipalKind.USER, name="alice", created_ms=0)
        transaction.session.add(row)
        await transaction.revise(EventKind.PRINCIPAL, "7")
    return Planes(database, cache, clock)


@pytest.fixture
async def provider() -> AsyncIterator[OidcEmulator]:
    async with OidcEmulator([key_pair("RS256")]) as emulator:
        yield emulator


def outside(database: Database, clock: FakeClock, url: str, **options: Any) -> OutsideIssuers:
    (issuer,) = parse_issuers(json.dumps([{"issuer": url, "audiences": [AUDIENCE]}]))
    return OutsideIssuers(database, [issuer], clock, **options)


async def test_a_key_that_is_replaced_is_followed_on_both_planes(
    database: Database, clock: FakeClock, planes: Planes, provider: OidcEmulator
) -> None:
    issuers = outside(database, clock, provider.url)
    await issuers.store()
    await issuers.fetch_due()
    await planes.follow()
    old, new = key_pair("RS256"), key_pair("ES256", "next")
    first = old.sign(claims(iss=provider.url))
    assert await planes.admits(first)

    provider.keys = [new]
    second = new.sign(claims(iss=provider.url))
    assert not await planes.admits(second)
    # The unknown key makes the issuer be asked again, but no more often than every half minute.
    assert planes.unknown_keys == [provider.url]
    issuers.want(provider.url)
    await issuers.fetch_due()
    assert len(provider.asked) == 2
    clock.now_ms += 30_000
    issuers.want(provider.url)
    await issuers.fetch_due()
    assert len(provider.asked) == 4
    await planes.follow()
    assert await planes.admits(second)
    assert not await planes.admits(first)


async def test_keys_are_fetched_again_every_five_minutes(
    database: Database, clock: FakeClock, planes: Planes, provider: OidcEmulator
) -> None:
    issuers = outside(database, clock, provider.url)
    await issuers.store()
    await issuers.fetch_due()
    clock.now_ms += 299_999
    await issuers.fetch_due()
    assert len(provider.asked) == 2
    provider.keys = [key_pair("EdDSA")]
    clock.now_ms += 1
    await issuers.fetch_due()
    await planes.follow()
    assert await planes.admits(key_pair("EdDSA").sign(claims(iss=provider.url)))


async def test_an_issuer_that_is_away_keeps_its_keys_and_is_asked_again(
    database: Database, clock: FakeClock, planes: Planes
) -> None:
    answers: list[list[VerificationKey] | Exception] = [
        [key_pair("RS256").message],
        IssuerUnavailable("away"),
        StoreUnavailable("away"),
        [key_pair("ES256").message],
    ]

    async def fetch(issuer: str) -> list[VerificationKey]:
        assert issuer == ISSUER
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    issuers = outside(database, clock, ISSUER, fetch=fetch)
    await issuers.store()
    await issuers.fetch_due()
    for passed_ms in (300_000, 30_000):
        clock.now_ms += passed_ms
        await issuers.fetch_due()
        await planes.follow()
        assert await planes.admits(key_pair("RS256").sign(_fresh(clock)))
    clock.now_ms += 30_000
    await issuers.fetch_due()
    await planes.follow()
    assert await planes.admits(key_pair("ES256").sign(_fresh(clock)))
    assert not answers


def _fresh(clock: FakeClock) -> dict[str, Any]:
    now = clock() // 1000
    return claims(iat=now, exp=now + 60)


async def test_an_issuer_that_the_settings_drop_is_dropped_and_a_restart_needs_no_network(
    database: Database, clock: FakeClock, planes: Planes, provider: OidcEmulator
) -> None:
    issuers = outside(database, clock, provider.url)
    await issuers.store()
    await issuers.fetch_due()
    token = key_pair("RS256").sign(claims(iss=provider.url))
    await outside(database, clock, provider.url).store()
    await planes.follow()
    assert await planes.admits(token)
    async with database.read() as session:
        assert [item.issuer for item in await load_outside_issuers(session)] == [provider.url]
    await OutsideIssuers(database, [], clock).store()
    await planes.follow()
    assert not await planes.admits(token)


async def test_a_change_of_the_settings_holds_for_the_keys_so_far(
    database: Database, clock: FakeClock, planes: Planes, provider: OidcEmulator
) -> None:
    issuers = outside(database, clock, provider.url)
    await issuers.store()
    await issuers.fetch_due()
    changed = parse_issuers(
        json.dumps([{"issuer": provider.url, "audiences": ["x"], "principal_claim": "email"}])
    )
    await OutsideIssuers(database, changed, clock).store()
    await planes.follow()
    key = key_pair("RS256")
    assert not await planes.admits(key.sign(claims(iss=provider.url)))
    assert await planes.admits(
        key.sign(claims(iss=provider.url, aud="x", sub="bob", email="alice"))
    )


async def test_no_forged_token_gets_into_either_plane(
    database: Database, clock: FakeClock, planes: Planes
) -> None:
    async def fetch(_: str) -> list[VerificationKey]:
        return list(issuer_resource().keys)

    issuers = outside(database, clock, ISSUER, fetch=fetch)
    await issuers.store()
    await issuers.fetch_due()
    await planes.follow()
    for key in all_keys():
        assert await planes.admits(key.sign(claims()))
    random = Random(5)
    count = times(100, 2000)
    tokens = [
        *forgeries.named().values(),
        *forgeries.mutated(random, count),
        *forgeries.noise(random, count),
    ]
    for token in tokens:
        assert not await planes.admits(token)


async def test_what_was_verified_is_void_for_one_whose_tokens_are_revoked(
    database: Database, clock: FakeClock, planes: Planes, provider: OidcEmulator
) -> None:
    issuers = outside(database, clock, provider.url)
    await issuers.store()
    await issuers.fetch_due()
    await planes.follow()
    token = key_pair("RS256").sign(claims(iss=provider.url))
    assert await planes.admits(token)
    async with database.write() as transaction:
        row = await transaction.session.get_one(PrincipalRow, "7")
        row.tokens_valid_from_ms = NOW * 1000 + 1
        await transaction.revise(EventKind.PRINCIPAL, "7")
    await planes.follow()
    assert not await planes.admits(token)


async def test_keys_are_fetched_from_the_start_and_when_they_are_wanted(
    database: Database, clock: FakeClock
) -> None:
    fetched: asyncio.Queue[str] = asyncio.Queue()

    async def fetch(issuer: str) -> list[VerificationKey]:
        fetched.put_nowait(issuer)
        return list(issuer_resource().keys)

    issuers = outside(database, clock, ISSUER, fetch=fetch)
    await issuers.store()
    running = asyncio.create_task(issuers.run())
    assert await fetched.get() == ISSUER
    clock.now_ms += 30_000
    issuers.want("https://not.ours.example.com")
    issuers.want(ISSUER)
    assert await fetched.get() == ISSUER
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert fetched.empty()


def test_the_setting_is_read() -> None:
    assert parse_issuers("") == parse_issuers("[]") == []
    (found,) = parse_issuers(json.dumps([SETTING]))
    assert (found.issuer, list(found.audiences)) == (SETTING["issuer"], ["modelplane"])
    assert found.principal_claim == "sub"


@pytest.mark.parametrize(
    "setting",
    [
        "{",
        "{}",
        "[1]",
        [SETTING, SETTING],
        [{**SETTING, "isuer": "x"}],
        [{**SETTING, "issuer": "http://login.example.com"}],
        [{**SETTING, "issuer": None}],
        [{**SETTING, "audiences": []}],
        [{**SETTING, "audiences": "modelplane"}],
        [{**SETTING, "audiences": [""]}],
        [{**SETTING, "principal_claim": ""}],
        [{**SETTING, "principal_claim": 7}],
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(setting: Any) -> None:
    text = setting if isinstance(setting, str) else json.dumps(setting)
    with pytest.raises(ValueError, match="MODELPLANE_OIDC_ISSUERS"):
        parse_issuers(text)
