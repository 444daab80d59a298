"""Client secrets, logging in with them, and what voids the tokens."""

import base64
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.shared.jwt.tokens import parse
from modelplane.control_plane.errors import (
    InvalidClient,
    InvalidLogin,
    InvalidParameter,
    InvalidScope,
    LoginRefused,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    Unauthenticated,
    UnsupportedGrant,
)
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.client_secrets import (
    MAX_LIFETIME_SECONDS,
    ClientSecrets,
    CreatedClientSecret,
)
from modelplane.control_plane.identity.identities import Identities
from modelplane.control_plane.identity.issuers import KnownIssuers
from modelplane.control_plane.identity.oauth import Login, OAuth, parse_login
from modelplane.control_plane.principal import Principal, PrincipalKind
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.signing import Signer, ensure_signing_key
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.store.database import Database
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.rollouts import FakeRollout

FORM = "application/x-www-form-urlencoded"
ROBOT, PERSON = PrincipalKind.SERVICE_PRINCIPAL, PrincipalKind.USER


@dataclass
class World:
    identities: Identities
    secrets: ClientSecrets
    oauth: OAuth
    cache: SnapshotCache
    authenticator: Authenticator
    clock: FakeClock

    async def robot(self) -> Principal:
        made = await self.identities.create(ALICE, ROBOT, "", "robot", active=True)
        return made.principal

    async def secret(self, robot: Principal, lifetime: str | None = None) -> CreatedClientSecret:
        return await self.secrets.create(ALICE, robot.id, lifetime=lifetime, scopes=[])

    async def enter(self, token: str) -> Principal:
        await self.cache.refresh()
        return await self.authenticator.authenticate(f"Bearer {token}")

    async def valid_from(self, robot: Principal) -> int:
        """Return what workers are told."""
        await self.cache.refresh()
        return next(
            principal.tokens_valid_from
            for chunk in self.cache.chunks()
            for principal in chunk.principals
            if principal.id == robot.id
        )


@pytest.fixture
async def world(
    database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock
) -> World:
    await ensure_signing_key(database, sealer, clock)
    cache = SnapshotCache(database, ResourceBuilder(CredentialResolver(sealer)))
    await cache.load()
    issuers = KnownIssuers(cache, clock, lambda _: None)
    return World(
        Identities(database, rollout, clock, admin_user="root"),
        ClientSecrets(database, rollout, clock),
        OAuth(database, Signer(sealer, clock), clock),
        cache,
        Authenticator(database, clock, issuers),
        clock,
    )


async def test_a_secret_is_exchanged_for_a_token_of_its_service_principal(world: World) -> None:
    robot = await world.robot()
    secret = await world.secret(robot)
    token = await world.oauth.issue(Login(robot.name, secret.value))
    assert (await world.enter(token)).id == robot.id
    claims = parse(token).claims
    assert claims["exp"] == world.clock() // 1000 + 3600
    assert claims["client_id"] == claims["sub"] == robot.name
    world.clock.now_ms += 3_660_000
    with pytest.raises(Unauthenticated, match="expired"):
        await world.enter(token)


async def test_who_may_not_log_in_is_not_told_why(world: World) -> None:
    robot = await world.robot()
    secret = await world.secret(robot)
    short = await world.secret(robot, "60s")
    person = (await world.identities.create(ALICE, PERSON, "ann", "", active=True)).principal
    logins = [
        Login(robot.name, secret.value + "0"),
        Login(robot.name, ""),
        Login(robot.id, secret.value),
        Login("nobody", secret.value),
        Login("nul\0", secret.value),
        Login(person.name, secret.value),
        Login(robot.name, short.value),
    ]
    world.clock.now_ms += 60_000
    said = set()
    for login in logins:
        with pytest.raises(InvalidClient) as raised:
            await world.oauth.issue(login)
        said.add(str(raised.value))
    assert len(said) == 1
    assert await world.oauth.issue(Login(robot.name, secret.value))


async def test_one_that_is_not_active_cannot_log_in_or_call(world: World) -> None:
    robot = await world.robot()
    secret = await world.secret(robot)
    token = await world.oauth.issue(Login(robot.name, secret.value))
    await world.identities.change(
        ALICE, ROBOT, robot.id, lambda state: type(state)(state.id, state.name, "x", active=False)
    )
    with pytest.raises(InvalidClient):
        await world.oauth.issue(Login(robot.name, secret.value))
    with pytest.raises(Unauthenticated, match="not active"):
        await world.enter(token)
    await world.identities.change(
        ALICE, ROBOT, robot.id, lambda state: type(state)(state.id, state.name, "x", active=True)
    )
    with pytest.raises(Unauthenticated, match="revoked"):
        await world.enter(token)
    assert await world.enter(await world.oauth.issue(Login(robot.name, secret.value)))


async def test_a_deleted_secret_voids_all_tokens_so_far_and_none_after(
    world: World, rollout: FakeRollout
) -> None:
    robot = await world.robot()
    secrets = [await world.secret(robot) for _ in range(4)]
    for secret, other in pairwise(secrets):
        # All in one second, which is all that a token says of when it was issued.
        login = Login(robot.name, other.value)
        old = [
            await world.oauth.issue(login),
            await world.oauth.issue(Login(robot.name, secret.value)),
        ]
        for token in old:
            assert await world.enter(token)
        await world.secrets.delete(ALICE, robot.id, secret.stored.id)
        assert rollout.applied
        for token in old:
            with pytest.raises(Unauthenticated, match="revoked"):
                await world.enter(token)
            assert parse(token).claims["iat"] < await world.valid_from(robot)
        new = await world.oauth.issue(login)
        assert await world.enter(new)
        assert parse(new).claims["iat"] >= await world.valid_from(robot)
        with pytest.raises(InvalidClient):
            await world.oauth.issue(Login(robot.name, secret.value))


async def test_a_replica_whose_clock_is_behind_voids_what_others_have_issued(world: World) -> None:
    robot = await world.robot()
    secret = await world.secret(robot)
    token = await world.oauth.issue(Login(robot.name, secret.value))
    assert await world.enter(token)
    world.clock.now_ms -= 4_000
    await world.secrets.delete(ALICE, robot.id, secret.stored.id)
    world.clock.now_ms += 4_000
    with pytest.raises(Unauthenticated, match="revoked"):
        await world.enter(token)


async def test_the_name_of_one_who_was_deleted_brings_its_tokens_to_nobody(world: World) -> None:
    robot = await world.robot()
    secret = await world.secret(robot)
    token = await world.oauth.issue(Login(robot.name, secret.value))
    await world.identities.delete(ALICE, ROBOT, robot.id)
    with pytest.raises(Unauthenticated, match="not active"):
        await world.enter(token)
    world.clock.now_ms += 1_000
    again = await world.identities.create(ALICE, ROBOT, robot.name, "", active=True)
    with pytest.raises(Unauthenticated, match="revoked"):
        await world.enter(token)
    with pytest.raises(InvalidClient):
        await world.oauth.issue(Login(robot.name, secret.value))
    made = await world.secret(again.principal)
    assert await world.enter(await world.oauth.issue(Login(robot.name, made.value)))


async def test_only_administrators_see_or_change_secrets(world: World) -> None:
    robot = await world.robot()
    secret = await world.secret(robot)
    with pytest.raises(PermissionDenied):
        await world.secrets.create(robot, robot.id, lifetime=None, scopes=[])
    with pytest.raises(PermissionDenied):
        await world.secrets.list_all(robot, robot.id)
    with pytest.raises(PermissionDenied):
        await world.secrets.delete(robot, robot.id, secret.stored.id)


async def test_a_service_principal_has_five_secrets_and_only_their_digests_are_kept(
    world: World,
) -> None:
    robot = await world.robot()
    made = [await world.secret(robot, "100s") for _ in range(5)]
    with pytest.raises(QuotaExceeded, match="5 secrets"):
        await world.secret(robot)
    listed = await world.secrets.list_all(ALICE, robot.id)
    assert {item.id for item in listed} == {item.stored.id for item in made}
    assert not any(item.value in f"{listed}{made}" for item in made)
    assert len({item.value for item in made}) == 5
    world.clock.now_ms += 100_000
    assert await world.secret(robot)
    assert len(await world.secrets.list_all(ALICE, robot.id)) == 1


@pytest.mark.parametrize(
    "lifetime",
    ["0s", "-1s", "", "s", "1 s", "1h", "1.5s", f"{MAX_LIFETIME_SECONDS + 1}s", "9" * 99],
)
async def test_a_lifetime_that_makes_no_sense_is_refused(world: World, lifetime: str) -> None:
    robot = await world.robot()
    with pytest.raises(InvalidParameter, match="lifetime"):
        await world.secret(robot, lifetime)


async def test_bad_input_is_named(world: World) -> None:
    robot = await world.robot()
    person = (await world.identities.create(ALICE, PERSON, "ann", "", active=True)).principal
    with pytest.raises(InvalidParameter, match="all-apis"):
        await world.secrets.create(ALICE, robot.id, lifetime=None, scopes=["sql"])
    assert await world.secrets.create(ALICE, robot.id, lifetime="1s", scopes=["all-apis"])
    for principal_id in (person.id, "nobody", "nul\0", robot.name):
        with pytest.raises(NotFound, match="service principal"):
            await world.secrets.create(ALICE, principal_id, lifetime=None, scopes=[])
    with pytest.raises(NotFound, match="client secret"):
        await world.secrets.delete(ALICE, robot.id, "none")


def form(**fields: str) -> bytes:
    return urlencode({"grant_type": "client_credentials", **fields}).encode()


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_both_ways_to_send_a_secret_are_read() -> None:
    expected = Login("id", "secret:with:colons")
    assert parse_login(FORM, form(scope="all-apis"), basic("id:secret:with:colons")) == expected
    sent = form(client_id="id", client_secret="secret:with:colons")
    assert parse_login(f"{FORM}; charset=UTF-8", sent, None) == expected
    assert parse_login(FORM, sent, "Bearer of-something-else") == expected
    assert "secret" not in repr(expected).replace("client_secret", "")


@pytest.mark.parametrize(
    ("error", "content_type", "body", "authorization"),
    [
        (InvalidLogin, "application/json", b"{}", None),
        (InvalidLogin, FORM, b"", None),
        (InvalidLogin, FORM, b"grant_type=", None),
        (InvalidLogin, FORM, b"grant_type=client_credentials&scope=a&scope=b", None),
        (InvalidLogin, FORM, b"\xff", None),
        (InvalidLogin, FORM, b"grant_type=%FF", None),
        (InvalidLogin, FORM, b"&".join(b"a%d=b" % number for number in range(99)), None),
        (InvalidLogin, FORM, form(more="x" * 20_000), None),
        (InvalidLogin, FORM, form(authorization_details="[]"), None),
        (InvalidScope, FORM, form(scope="all-apis sql"), None),
        (UnsupportedGrant, FORM, b"grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer", None),
        (InvalidClient, FORM, form(), None),
        (InvalidClient, FORM, form(client_id="id"), None),
        (InvalidClient, FORM, form(), "Basic"),
        (InvalidClient, FORM, form(), "Basic !!"),
        (InvalidClient, FORM, form(), "Basic /w=="),
        (InvalidClient, FORM, form(), basic("id")),
        (InvalidClient, FORM, form(), basic(":secret")),
    ],
)
def test_what_is_malformed_is_refused(
    error: type[LoginRefused], content_type: str, body: bytes, authorization: str | None
) -> None:
    with pytest.raises(error):
        parse_login(content_type, body, authorization)


@given(st.binary(), st.none() | st.text() | st.text().map(basic))
def test_no_form_breaks_anything(body: bytes, authorization: str | None) -> None:
    login = None
    with suppress(LoginRefused):
        login = parse_login(FORM, body, authorization)
    assert login is None or login.client_id
