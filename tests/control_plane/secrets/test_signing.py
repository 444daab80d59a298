"""The deployment's own keys: made once, shared, replaced without shutting anybody out."""

import asyncio

import pytest

from modelplane.adapters.shared.jwt.tokens import UnknownKey, parse
from modelplane.adapters.shared.jwt.verifier import TokenVerifier, compile_issuer
from modelplane.adapters.shared.rpc.authorization import digest
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.signing import Signer, ensure_signing_key, rotate_signing_key
from modelplane.control_plane.snapshots.builder import load_own_issuer
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.events import read_events
from modelplane.control_plane.store.secrets.signing_keys import load_signing_keys
from modelplane.control_plane.store.states import EventKind
from tests.control_plane.conftest import FakeClock


async def sign(database: Database, signer: Signer, clock: FakeClock) -> str:
    async with database.read() as session:
        own = await load_own_issuer(session)
        keys = await load_signing_keys(session)
    now = clock() // 1000
    claims = {"iss": own.issuer, "aud": own.issuer, "sub": "robot", "iat": now, "exp": now + 3600}
    return await signer.sign(claims, keys)


async def verify(database: Database, token: str, clock: FakeClock) -> str:
    async with database.read() as session:
        own = compile_issuer(await load_own_issuer(session))
    issuers = {own.name: own}
    found = TokenVerifier().verify(token, digest(token), issuers, clock() / 1000)
    return found.principal_name


async def test_replicas_that_start_together_share_one_key(
    database: Database, sealer: Sealer, clock: FakeClock
) -> None:
    await asyncio.gather(*(ensure_signing_key(database, sealer, clock) for _ in range(4)))
    await ensure_signing_key(database, sealer, clock)
    async with database.read() as session:
        (key,) = await load_signing_keys(session)
        own = await load_own_issuer(session)
        events = await read_events(session, 0, 100)
    assert [item.key_id for item in own.keys] == [key.id]
    assert [(event.kind, event.key) for event in events] == [(EventKind.ISSUER, own.issuer)]
    token = await sign(database, Signer(sealer, clock), clock)
    assert await verify(database, token, clock) == "robot"


async def test_the_private_key_is_sealed(
    database: Database, sealer: Sealer, clock: FakeClock
) -> None:
    await ensure_signing_key(database, sealer, clock)
    async with database.read() as session:
        (key,) = await load_signing_keys(session)
    opened = await sealer.open(key.sealed, f"signing-key/{key.id}".encode())
    assert len(opened) == 32
    assert opened not in key.sealed
    assert str(key.sealed) not in repr(key)


async def test_a_new_key_signs_once_all_workers_must_know_it(
    database: Database, sealer: Sealer, clock: FakeClock
) -> None:
    await ensure_signing_key(database, sealer, clock)
    signer = Signer(sealer, clock)
    old = await sign(database, signer, clock)
    clock.now_ms += 60_000
    await rotate_signing_key(database, sealer, clock)
    assert parse(await sign(database, signer, clock)).key_id == parse(old).key_id
    clock.now_ms += 30_000
    new = await sign(database, signer, clock)
    assert parse(new).key_id != parse(old).key_id
    # Both are good for as long as they last.
    assert [await verify(database, token, clock) for token in (old, new)] == ["robot", "robot"]


async def test_a_replaced_key_goes_when_its_tokens_have_expired(
    database: Database, sealer: Sealer, clock: FakeClock
) -> None:
    await ensure_signing_key(database, sealer, clock)
    for passed_ms, expected in ((1_000, 2), (1_000, 3), (3_600_000, 4), (200_000, 3)):
        clock.now_ms += passed_ms
        await rotate_signing_key(database, sealer, clock)
        async with database.read() as session:
            assert len(await load_signing_keys(session)) == expected


async def test_keys_can_be_revoked_at_once(
    database: Database, sealer: Sealer, clock: FakeClock
) -> None:
    await ensure_signing_key(database, sealer, clock)
    signer = Signer(sealer, clock)
    old = await sign(database, signer, clock)
    await rotate_signing_key(database, sealer, clock, revoke=True)
    with pytest.raises(UnknownKey):
        await verify(database, old, clock)
    assert await verify(database, await sign(database, signer, clock), clock) == "robot"
