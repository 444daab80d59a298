"""Signing in at an outside issuer: against a strict one, and what is refused on the way."""

import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from modelserving.v1 import sign_in_service_pb2 as pb
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.jwt.tokens import encode
from modelplane.adapters.shared.rpc.metadata import ORIGIN
from modelplane.control_plane.answer_headers import answer_headers
from modelplane.control_plane.errors import (
    InvalidParameter,
    IssuerAway,
    LoginThrottled,
    NotFound,
    PermissionDenied,
    TooManyCalls,
    Unauthenticated,
)
from modelplane.control_plane.identity import sign_ins
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.failed_logins import MAX_FAILURES, FailedLogins
from modelplane.control_plane.identity.identities import Identities
from modelplane.control_plane.identity.issuers import KnownIssuers
from modelplane.control_plane.identity.outside_issuers import OutsideIssuers, parse_issuers
from modelplane.control_plane.identity.sessions import SESSION_SECONDS, Sessions
from modelplane.control_plane.identity.sign_in_methods import parse_methods, secret_variables
from modelplane.control_plane.identity.sign_in_servicer import SignInServicer
from modelplane.control_plane.identity.sign_ins import SignIns
from modelplane.control_plane.principal import Principal, PrincipalKind, caller_found
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.store.database import Database
from tests.adapters.shared.jwt.issuers import key_pair
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.rollouts import FakeRollout
from tests.emulators.oidc import OidcEmulator, SignInClient

PAGE = "https://models.example.com/ui/"
VERIFIER = "v" * 43
CHALLENGE = encode(hashlib.sha256(VERIFIER.encode()).digest())
STATE = "s" * 16
SECRET = "a +secret"


class Deployment:
    """What signs in, and the issuer."""

    def __init__(
        self, provider: OidcEmulator, sign_ins: SignIns, sessions: Sessions, known: Authenticator
    ) -> None:
        self.provider = provider
        self.sign_ins = sign_ins
        self.sessions = sessions
        self.authenticator = known
        self.found: list[Principal] = []
        caller_found.set(self.found.append)

    @property
    def client(self) -> SignInClient:
        assert self.provider.client
        return self.provider.client

    async def code(self, challenge: str = CHALLENGE) -> str:
        """Return the code that the issuer's page gives the browser."""
        url = await self.sign_ins.begin(self.provider.url, challenge, STATE, PAGE)
        async with (
            aiohttp.ClientSession() as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            target = answer.headers["location"]
        assert target.startswith(f"{PAGE}?")
        told = parse_qs(urlsplit(target).query)
        assert told["state"] == [STATE]
        [code] = told["code"]
        return code

    async def complete(self, code: str, verifier: str = VERIFIER, page: str = PAGE) -> str:
        begun = await self.sign_ins.complete(self.provider.url, code, verifier, page, "browser")
        return begun.value


@pytest.fixture
async def deployment(
    database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock
) -> AsyncIterator[Deployment]:
    async with OidcEmulator([key_pair("RS256")]) as provider:
        provider.client = SignInClient("pages", SECRET, [PAGE], {"email": "ann"})
        setting = _setting(provider.url, client_secret_env="SECRET")
        # The issuer's tokens are of now.
        clock.now_ms = time.time_ns() // 1_000_000
        outside = OutsideIssuers(database, parse_issuers(setting), clock)
        await outside.store()
        await outside.fetch_due()
        cache = SnapshotCache(database, ResourceBuilder(CredentialResolver(sealer)))
        await cache.load()
        identities = Identities(database, rollout, clock, admin_user="root")
        await identities.create(ALICE, PrincipalKind.USER, "ann", "", active=True)
        known = Authenticator(database, clock, KnownIssuers(cache, clock, lambda _: None))
        sessions = Sessions(database, rollout, clock)
        methods = parse_methods(setting, {"SECRET": SECRET})
        yield Deployment(provider, SignIns(methods, known, sessions), sessions, known)


def _setting(issuer: str, **more: Any) -> str:
    item = {
        "issuer": issuer,
        "audiences": ["api"],
        "principal_claim": "email",
        "client_id": "pages",
    }
    return json.dumps([item | more])


async def test_who_the_issuer_knows_gets_a_session_of_its_own(deployment: Deployment) -> None:
    value = await deployment.complete(await deployment.code())
    ann = await deployment.authenticator.authenticate(f"Bearer {value}")
    assert ann.name == "ann"
    assert deployment.found == [ann]
    [session] = await deployment.sessions.list_own(ann)
    assert session.expiry_ms == session.created_ms + SESSION_SECONDS * 1000
    assert await deployment.sessions.delete_own(ann, "current", value)
    with pytest.raises(Unauthenticated):
        await deployment.authenticator.authenticate(f"Bearer {value}")


async def test_a_code_is_good_once_and_for_the_browser_that_asked(deployment: Deployment) -> None:
    code = await deployment.code()
    with pytest.raises(Unauthenticated, match="invalid_grant"):
        await deployment.complete(code, "w" * 43)
    with pytest.raises(Unauthenticated, match="invalid_grant"):
        await deployment.complete(code)
    code = await deployment.code()
    with pytest.raises(Unauthenticated, match="invalid_grant"):
        await deployment.complete(code, page="https://other.example.com/ui/")
    assert deployment.found == []


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"nonce": "of another"}, "of another sign-in"),
        # An API token's audience, which the setting accepts elsewhere.
        ({"aud": "api"}, "another audience"),
        ({"aud": ["pages", "api"], "azp": "api"}, "another client"),
        ({"iss": "https://login.example.com"}, "issuer"),
        ({"exp": 1}, "expired"),
        ({"email": None}, "no principal"),
        ({"email_verified": False}, "not verified"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_an_id_token_of_something_else_is_not_believed(
    deployment: Deployment, claims: Mapping[str, Any], reason: str
) -> None:
    deployment.client.claims = {"email": "ann", **claims}
    with pytest.raises(Unauthenticated, match=reason):
        await deployment.complete(await deployment.code())


async def test_who_is_not_here_is_told_who_creates_users(deployment: Deployment) -> None:
    deployment.client.claims = {"email": "stranger"}
    with pytest.raises(PermissionDenied, match="'stranger' is no active user"):
        await deployment.complete(await deployment.code())


async def test_a_client_without_a_secret_is_protected_by_the_verifier_alone(
    deployment: Deployment,
) -> None:
    deployment.client.secret = ""
    with pytest.raises(Unauthenticated, match="invalid_client"):
        await deployment.complete(await deployment.code())
    methods = parse_methods(_setting(deployment.provider.url), {})
    deployment.sign_ins = SignIns(methods, deployment.authenticator, deployment.sessions)
    assert await deployment.complete(await deployment.code())


async def test_an_issuer_that_does_not_answer_as_it_should(deployment: Deployment) -> None:
    path = "/.well-known/openid-configuration"
    url = deployment.provider.url
    for endpoint in ("http://login.example.com/", "https://a/#b", None):
        found = {"issuer": url, "authorization_endpoint": endpoint}
        deployment.provider.answers[path] = (200, json.dumps(found).encode(), {})
        with pytest.raises(IssuerAway, match="authorization_endpoint"):
            await deployment.code()
    deployment.provider.answers[path] = (500, b"", {})
    with pytest.raises(IssuerAway, match="status 500"):
        await deployment.code()


async def test_an_issuer_is_not_asked_whenever_a_stranger_begins(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = deployment.provider.url, deployment.provider.asked
    asked.clear()
    for _ in range(3):
        await deployment.sign_ins.begin(url, CHALLENGE, STATE, PAGE)
    assert await deployment.complete(await deployment.code())
    assert asked == ["/.well-known/openid-configuration"]
    monkeypatch.setattr(sign_ins, "FRESH_SECONDS", 0.0)
    await deployment.sign_ins.begin(url, CHALLENGE, STATE, PAGE)
    assert len(asked) == 2


async def test_what_is_no_sign_in_asks_no_issuer(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, begin, complete = (
        deployment.provider.url,
        deployment.sign_ins.begin,
        deployment.sign_ins.complete,
    )
    before = list(deployment.provider.asked)
    for challenge, state in (("c" * 42, STATE), (CHALLENGE, "s"), (CHALLENGE, "s" * 15 + "&")):
        with pytest.raises(InvalidParameter):
            await begin(url, challenge, state, PAGE)
    for code, verifier in (("", VERIFIER), ("c" * 5000, VERIFIER), ("c", "v" * 42)):
        with pytest.raises(InvalidParameter):
            await complete(url, code, verifier, PAGE, "")
    with pytest.raises(InvalidParameter, match="public port"):
        await begin(url, CHALLENGE, STATE, "")
    with pytest.raises(NotFound):
        await begin("https://login.example.com", CHALLENGE, STATE, PAGE)
    monkeypatch.setattr(sign_ins, "MAX_AT_ONCE", 0)
    with pytest.raises(TooManyCalls):
        await begin(url, CHALLENGE, STATE, PAGE)
    assert deployment.provider.asked == before


def test_the_setting_is_read() -> None:
    issuer = "https://login.example.com"
    assert parse_methods(json.dumps([{"issuer": issuer, "audiences": ["a"]}]), {}) == {}
    setting = _setting(issuer, client_secret_env="S", label="Our login", scopes=["openid", "a"])
    method = parse_methods(setting, {"S": SECRET})[issuer]
    assert (method.label, method.client_secret, method.scopes) == (
        "Our login",
        SECRET,
        ("openid", "a"),
    )
    assert SECRET not in repr(method)
    assert parse_methods(_setting(issuer), {})[issuer].label == "login.example.com"
    assert secret_variables(setting) == {"S"}
    assert secret_variables("{") == secret_variables('{"a": 1}') == set()


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": ""},
        {"client_id": None},
        {"client_secret_env": "UNSET"},
        {"client_secret_env": 1},
        {"label": ""},
        {"label": "x" * 61},
        {"scopes": "openid"},
        {"scopes": ["email"]},
        {"scopes": ["openid email"]},
    ],
    ids=str,
)
def test_a_setting_that_cannot_be_meant_is_refused_by_name(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        parse_methods(_setting("https://login.example.com", **wrong), {})


class _Context:
    """What a call of a browser on this machine brings."""

    def __init__(self, **more: str) -> None:
        self._metadata = {ORIGIN: PAGE.removesuffix("/ui/"), **more}

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._metadata.items())


async def test_an_address_whose_sign_ins_fail_is_held_up(
    deployment: Deployment, clock: FakeClock
) -> None:
    failed = FailedLogins(clock, CollectorRegistry())
    servicer = SignInServicer(deployment.sign_ins, failed)
    context: Any = _Context()
    given = pb.CompleteSignInRequest(
        issuer=deployment.provider.url, code="no code", code_verifier=VERIFIER
    )
    for _ in range(MAX_FAILURES):
        with pytest.raises(Unauthenticated):
            await servicer.CompleteSignIn(given, context)
    with pytest.raises(LoginThrottled):
        await servicer.CompleteSignIn(given, context)
    clock.now_ms += 60_000
    given.code = await deployment.code()
    session = await servicer.CompleteSignIn(given, context)
    assert session.current
    [(name, cookie), _] = answer_headers.get()
    assert name == "set-cookie"
    assert cookie.startswith("__Host-modelplane=dapi")


async def test_only_the_pages_begin_and_complete(deployment: Deployment, clock: FakeClock) -> None:
    servicer = SignInServicer(deployment.sign_ins, FailedLogins(clock, CollectorRegistry()))
    elsewhere: Any = _Context(**{"sec-fetch-site": "same-site"})
    plain: Any = _Context(**{ORIGIN: "http://models.example.com"})
    begin = pb.BeginSignInRequest(
        issuer=deployment.provider.url, code_challenge=CHALLENGE, state=STATE
    )
    with pytest.raises(PermissionDenied):
        await servicer.BeginSignIn(begin, elsewhere)
    with pytest.raises(PermissionDenied):
        await servicer.CompleteSignIn(pb.CompleteSignInRequest(), elsewhere)
    # Its cookie would go over the network in the clear.
    with pytest.raises(InvalidParameter, match="HTTPS"):
        await servicer.BeginSignIn(begin, plain)
    here: Any = _Context()
    listed = await servicer.ListSignInMethods(pb.ListSignInMethodsRequest(), here)
    assert [method.label for method in listed.methods] == ["127.0.0.1"]
