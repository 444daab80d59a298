"""What is taken from an OpenID provider, and what is not."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.shared.oidc import (
    IssuerUnavailable,
    fetch_keys,
    is_trustworthy,
    parse_keys,
)
from tests.adapters.shared.jwt.issuers import KeyPair, all_keys
from tests.emulators.oidc import OidcEmulator, jwk

DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
async def provider() -> AsyncIterator[OidcEmulator]:
    async with OidcEmulator(all_keys()) as emulator:
        yield emulator


async def test_the_keys_of_every_kind_are_fetched(provider: OidcEmulator) -> None:
    assert await fetch_keys(provider.url) == [key.message for key in all_keys()]
    assert provider.asked == [DISCOVERY, "/keys"]


def _found(body: Any) -> tuple[int, bytes, dict[str, str]]:
    return 200, json.dumps(body).encode(), {}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (DISCOVERY, (500, b"{}", {})),
        (DISCOVERY, (302, b"", {"location": "/elsewhere"})),
        (DISCOVERY, (200, b"<html>", {})),
        (DISCOVERY, (200, b"[]", {})),
        (DISCOVERY, _found({"issuer": "https://evil.example.com", "jwks_uri": "https://e.com"})),
        (DISCOVERY, _found({"jwks_uri": "https://e.com"})),
        ("/keys", (404, b"{}", {})),
        ("/keys", (200, b"{" + b" " * (1024 * 1024) + b"}", {})),
        ("/keys", _found({"keys": []})),
        ("/keys", _found({"keys": "none"})),
        ("/keys", _found({})),
    ],
)
async def test_what_is_not_as_it_should_be_gives_no_keys(
    provider: OidcEmulator, path: str, answer: tuple[int, bytes, dict[str, str]]
) -> None:
    provider.answers[path] = answer
    with pytest.raises(IssuerUnavailable):
        await fetch_keys(provider.url)


@pytest.mark.parametrize(
    "url", ["http://keys.example.com", "ftp://127.0.0.1", "file:///etc/passwd", "", 7, None]
)
async def test_keys_come_from_nowhere_that_could_be_forged(
    provider: OidcEmulator, url: object
) -> None:
    provider.answers[DISCOVERY] = _found({"issuer": provider.url, "jwks_uri": url})
    with pytest.raises(IssuerUnavailable, match="https"):
        await fetch_keys(provider.url)


async def test_a_provider_that_is_away_is_said_so() -> None:
    with pytest.raises(IssuerUnavailable, match="cannot be read"):
        await fetch_keys("http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://login.example.com", True),
        ("https://login.example.com/tenant/v2.0", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080/realm", True),
        ("http://localhost", True),
        ("http://login.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://user@login.example.com", False),
        ("https://login.example.com?x=1", False),
        ("https://", False),
        ("https://[::1", False),
        ("login.example.com", False),
    ],
)
def test_only_https_or_this_machine_is_trustworthy(url: str, expected: bool) -> None:  # noqa: FBT001
    assert is_trustworthy(url) is expected


def test_keys_that_cannot_be_used_are_skipped() -> None:
    good = [jwk(key) for key in all_keys()]
    rsa_key, ec_key, ed_key = good
    weak = KeyPair("weak", "RS256", rsa.generate_private_key(65537, 1024))
    bad = [
        jwk(weak),
        {**rsa_key, "kid": "a", "alg": "RS512"},
        {**rsa_key, "kid": "b", "use": "enc"},
        {**rsa_key, "kid": "c", "n": "!"},
        {**rsa_key, "kid": "d", "e": "AA"},
        {**ec_key, "kid": "e", "crv": "P-384"},
        {**ec_key, "kid": "f", "x": ec_key["y"]},
        {**ed_key, "kid": "g", "x": "AAAA"},
        {**ed_key, "kid": "h", "crv": "X25519"},
        {"kid": "i", "kty": "oct", "k": "AAAA", "alg": "HS256"},
        {key: value for key, value in rsa_key.items() if key != "kid"},
        "key",
        None,
    ]
    assert parse_keys({"keys": [*bad, *good]}) == [key.message for key in all_keys()]
    without_alg = [{k: v for k, v in key.items() if k not in ("alg", "use")} for key in good]
    assert parse_keys({"keys": without_alg}) == [key.message for key in all_keys()]


_VALUES = st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text(), max_size=2))


@given(
    st.sampled_from([jwk(key) for key in all_keys()]),
    st.dictionaries(
        st.sampled_from(["kid", "kty", "alg", "crv", "n", "e", "x", "y", "use"]), _VALUES
    ),
)
def test_no_member_of_a_key_breaks_anything(key: dict[str, Any], changed: dict[str, Any]) -> None:
    for found in parse_keys({"keys": [{**key, **changed}]}):
        assert found.algorithm in ("RS256", "ES256", "EdDSA")
