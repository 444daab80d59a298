"""Sessions begin with a token, end with it, and are bounded."""

import pytest

from modelplane.control_plane.errors import InvalidParameter, NotFound, Unauthenticated
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.identities import Identities
from modelplane.control_plane.identity.session_cookie import set_cookie
from modelplane.control_plane.identity.sessions import (
    CURRENT,
    MAX_SESSIONS,
    MAX_USER_AGENT,
    SESSION_SECONDS,
    Sessions,
)
from modelplane.control_plane.identity.tokens import CreatedToken, NewToken, Tokens
from modelplane.control_plane.principal import Principal, PrincipalKind
from modelplane.control_plane.store.database import Database
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.rollouts import FakeRollout


@pytest.fixture
def sessions(database: Database, rollout: FakeRollout, clock: FakeClock) -> Sessions:
    return Sessions(database, rollout, clock)


@pytest.fixture
def tokens(database: Database, rollout: FakeRollout, clock: FakeClock) -> Tokens:
    return Tokens(database, rollout, clock)


@pytest.fixture
async def ann(database: Database, rollout: FakeRollout, clock: FakeClock) -> Principal:
    identities = Identities(database, rollout, clock, admin_user="root")
    return (await identities.create(ALICE, PrincipalKind.USER, "ann", "", active=True)).principal


@pytest.fixture
async def own(tokens: Tokens, ann: Principal) -> CreatedToken:
    return await tokens.create(ann, NewToken("own", None))


async def test_life_of_a_session(
    sessions: Sessions, database: Database, clock: FakeClock, ann: Principal, own: CreatedToken
) -> None:
    authenticator = Authenticator(database, clock)
    begun = await sessions.create(ann, own.value, "A browser\n" + "x" * 1000)
    assert begun.value not in repr(begun)
    assert begun.stored.expiry_ms == begun.stored.created_ms + SESSION_SECONDS * 1000
    assert begun.stored.comment.startswith("A browserx")
    assert len(begun.stored.comment) == MAX_USER_AGENT
    assert await authenticator.authenticate(f"Bearer {begun.value}") == ann
    assert await sessions.list_own(ann) == [begun.stored]
    assert await sessions.list_own(ALICE) == []
    with pytest.raises(NotFound):
        await sessions.delete_own(ALICE, begun.stored.id, own.value)
    with pytest.raises(NotFound):
        await sessions.delete_own(ann, CURRENT, own.value)
    assert await sessions.delete_own(ann, CURRENT, begun.value)
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(f"Bearer {begun.value}")


async def test_a_session_ends_with_its_token(
    sessions: Sessions,
    tokens: Tokens,
    database: Database,
    clock: FakeClock,
    ann: Principal,
    own: CreatedToken,
) -> None:
    begun = await sessions.create(ann, own.value, "")
    await tokens.delete_own(ann, own.owned.token.id)
    assert await sessions.list_own(ann) == []
    with pytest.raises(Unauthenticated):
        await Authenticator(database, clock).authenticate(f"Bearer {begun.value}")


async def test_a_session_outlives_neither_its_token_nor_its_time(
    sessions: Sessions, tokens: Tokens, clock: FakeClock, ann: Principal
) -> None:
    short = await tokens.create(ann, NewToken("short", 60))
    begun = await sessions.create(ann, short.value, "")
    assert begun.stored.expiry_ms == short.owned.token.expiry_ms
    clock.now_ms += 60_000
    assert await sessions.list_own(ann) == []


async def test_a_session_begins_with_an_access_token_alone(
    sessions: Sessions, ann: Principal, own: CreatedToken
) -> None:
    begun = await sessions.create(ann, own.value, "")
    with pytest.raises(InvalidParameter, match="another session"):
        await sessions.create(ann, begun.value, "")
    with pytest.raises(InvalidParameter, match="issuer"):
        await sessions.create(ann, "a.b.c", "")


async def test_the_oldest_session_makes_room(
    sessions: Sessions, clock: FakeClock, ann: Principal, own: CreatedToken
) -> None:
    begun = []
    for _ in range(MAX_SESSIONS + 2):
        clock.now_ms += 1
        begun.append((await sessions.create(ann, own.value, "")).stored)
    assert await sessions.list_own(ann) == begun[2:]


async def test_a_session_is_no_token_of_the_lists(
    sessions: Sessions, tokens: Tokens, ann: Principal, own: CreatedToken
) -> None:
    begun = await sessions.create(ann, own.value, "")
    assert await tokens.list_own(ann) == [own.owned.token]
    everyone = await tokens.list_all(ALICE, owner_id=None, owner=None)
    assert begun.stored.id not in {item.token.id for item in everyone}
    with pytest.raises(NotFound):
        await tokens.get(ALICE, begun.stored.id)
    with pytest.raises(NotFound):
        await tokens.delete_any(ALICE, begun.stored.id)


@pytest.mark.parametrize(
    "origin", ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:1", "http://a.localhost"]
)
def test_on_this_machine_a_cookie_needs_no_tls(origin: str) -> None:
    assert set_cookie(origin, "dapi1", 60) == (
        "modelplane=dapi1; Max-Age=60; Path=/; HttpOnly; SameSite=Strict"
    )


@pytest.mark.parametrize("origin", ["https://models.example.com", "https://localhost", ""])
def test_elsewhere_it_is_sent_over_tls_alone(origin: str) -> None:
    assert set_cookie(origin, "dapi1", 60) == (
        "__Host-modelplane=dapi1; Max-Age=60; Secure; Path=/; HttpOnly; SameSite=Strict"
    )


@pytest.mark.parametrize("origin", ["http://models.example.com", "http://10.0.0.1:8080"])
def test_over_the_network_in_the_clear_there_is_none(origin: str) -> None:
    with pytest.raises(InvalidParameter, match="HTTPS"):
        set_cookie(origin, "dapi1", 60)
