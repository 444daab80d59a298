"""Which tokens are believed, and for how long."""

from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st
from modelserving.worker.v1.snapshot_pb2 import VerificationKey

from modelplane.adapters.shared.jwt.keys import KeyRefused, algorithm_of, encode_key, load_key
from modelplane.adapters.shared.jwt.tokens import TokenRefused, UnknownKey, encode, parse, sign
from modelplane.adapters.shared.jwt.verifier import (
    Issuer,
    TokenVerifier,
    VerifiedToken,
    compile_issuer,
)
from modelplane.adapters.shared.rpc.authorization import digest
from tests.adapters.shared.jwt import forgeries
from tests.adapters.shared.jwt.issuers import (
    ISSUER,
    NOW,
    KeyPair,
    all_keys,
    claims,
    issuer_resource,
    key_pair,
)

ISSUERS = {ISSUER: compile_issuer(issuer_resource())}
NAMED = forgeries.named()


def verify(
    token: str, now: float = NOW, verifier: TokenVerifier | None = None, issuers: Any = ISSUERS
) -> VerifiedToken:
    return (verifier or TokenVerifier()).verify(token, digest(token), issuers, now)


@pytest.mark.parametrize("key", all_keys(), ids=lambda key: key.algorithm)
def test_a_good_token_is_believed(key: KeyPair) -> None:
    found = verify(key.sign(claims()))
    assert (found.issuer.name, found.principal_name) == (ISSUER, "alice")
    assert (found.issued_at, found.expires_at) == (NOW, NOW + 3660)
    assert verify(key.sign(claims(aud=["elsewhere", "another"], typ=None))).issued_at == NOW
    assert verify(key.sign(claims(exp=NOW - 59, nbf=NOW + 60, iat=NOW + 59.5)))
    assert verify(key.sign(claims(), typ="at+JWT"))
    assert verify(key.sign(claims(), typ=None))


@pytest.mark.parametrize("name", NAMED)
def test_a_token_that_breaks_a_rule_is_refused(name: str) -> None:
    with pytest.raises(TokenRefused):
        verify(NAMED[name])


def test_thousands_of_changed_and_of_random_tokens_are_refused() -> None:
    random = Random(7)
    verifier = TokenVerifier()
    tokens = [*forgeries.mutated(random, 3000), *forgeries.noise(random, 3000)]
    for token in tokens:
        with pytest.raises(TokenRefused):
            verify(token, verifier=verifier)
    assert len(set(tokens)) > 4500


@given(st.text() | st.builds("{}.{}.{}".format, st.text(), st.text(), st.text()))
def test_no_text_is_believed_or_breaks_anything(text: str) -> None:
    with pytest.raises(TokenRefused):
        verify(text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "exp", "iat", "nbf"]), _JSON, min_size=1),
    st.sampled_from(all_keys()),
)
def test_signed_claims_of_whatever_kind_break_nothing(
    changed: dict[str, Any], key: KeyPair
) -> None:
    # The encoder of the tests has no integers beyond 64 bits; those stand in `forgeries`.
    small = {
        name: value if not isinstance(value, int) else value % 2**63
        for name, value in changed.items()
    }
    try:
        found = verify(key.sign(claims(**_without_big(small))))
    except TokenRefused:
        return
    assert found.principal_name == "alice"
    assert found.expires_at > NOW >= found.issued_at - 60


def _without_big(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int():
            return value % 2**53
        case list():
            return [_without_big(item) for item in value]
        case dict():
            return {name: _without_big(item) for name, item in value.items()}
        case _:
            return value


def test_an_unknown_key_of_a_known_issuer_is_told_apart() -> None:
    with pytest.raises(UnknownKey) as raised:
        verify(key_pair("RS256", "new").sign(claims()))
    assert raised.value.issuer == ISSUER


def test_a_verified_token_is_remembered_until_it_expires() -> None:
    verifier, checks = TokenVerifier(), Checks()
    token = all_keys()[0].sign(claims())
    first = verify(token, verifier=verifier, issuers=checks.issuers)
    assert verify(token, NOW + 3659, verifier, checks.issuers) is first
    assert checks.count == 1
    with pytest.raises(TokenRefused, match="expired"):
        verify(token, NOW + 3660, verifier, checks.issuers)
    with pytest.raises(TokenRefused, match="expired"):
        verify(token, NOW + 3660, verifier, checks.issuers)


def test_a_key_that_goes_takes_the_tokens_with_it_that_it_signed() -> None:
    verifier = TokenVerifier()
    rsa_key, ec_key, _ = all_keys()
    token, other = rsa_key.sign(claims()), ec_key.sign(claims())
    assert verify(token, verifier=verifier)
    assert verify(other, verifier=verifier)
    rotated = {ISSUER: compile_issuer(issuer_resource(ec_key))}
    with pytest.raises(UnknownKey):
        verify(token, verifier=verifier, issuers=rotated)
    assert verify(other, verifier=verifier, issuers=rotated)
    with pytest.raises(TokenRefused):
        verify(other, verifier=verifier, issuers={})


def test_what_was_not_seen_for_longest_is_forgotten() -> None:
    verifier, checks = TokenVerifier(capacity=2), Checks()
    first, second, third = (all_keys()[0].sign(claims(jti=str(number))) for number in range(3))
    for token in (first, second, first, third, first):
        verify(token, verifier=verifier, issuers=checks.issuers)
    assert checks.count == 3
    verify(second, verifier=verifier, issuers=checks.issuers)
    assert checks.count == 4


class Checks:
    """Counts the signatures that are checked."""

    def __init__(self) -> None:
        self.count = 0
        good = ISSUERS[ISSUER]
        keys = {
            key_id: type(key)(key.key_id, key.algorithm, self._counted(key.verifies))
            for key_id, key in good.keys.items()
        }
        self.issuers = {
            ISSUER: Issuer(good.name, good.audiences, good.principal_claim, keys),
        }

    def _counted(self, verifies: Any) -> Any:
        def counted(signature: bytes, signed: bytes) -> Any:
            self.count += 1
            return verifies(signature, signed)

        return counted


def test_tokens_signed_here_are_believed() -> None:
    key = key_pair("EdDSA")
    private: Any = key.private
    token = sign(claims(), key.key_id, private)
    assert verify(token).principal_name == "alice"
    assert parse(token).claims == claims()


def test_no_error_holds_the_token() -> None:
    for token in NAMED.values():
        with pytest.raises(TokenRefused) as raised:
            verify(token)
        assert not any(part in str(raised.value) for part in token.split(".") if len(part) > 4)


def test_keys_that_cannot_be_used_leave_the_others() -> None:
    weak = rsa.generate_private_key(65537, 1024).public_key()
    useless = [
        VerificationKey(key_id="weak", algorithm="RS256", public_key=encode_key(weak)),
        VerificationKey(key_id="torn", algorithm="RS256", public_key=b"no key"),
        VerificationKey(
            key_id="mixed", algorithm="ES256", public_key=all_keys()[0].message.public_key
        ),
    ]
    resource = issuer_resource(*all_keys())
    resource.keys.extend(useless)
    assert set(compile_issuer(resource).keys) == {key.key_id for key in all_keys()}
    for key in useless:
        with pytest.raises(KeyRefused):
            load_key(key.key_id, key.algorithm, key.public_key)


def test_keys_of_other_kinds_are_refused() -> None:
    curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    with pytest.raises(KeyRefused, match="secp384r1"):
        algorithm_of(curve)
    other: Any = ed448.Ed448PrivateKey.generate().public_key()
    with pytest.raises(KeyRefused):
        load_key("k", "EdDSA", encode_key(other))
    with pytest.raises(KeyRefused):
        load_key("k", "ES256", encode_key(curve))


def test_a_key_never_shows_in_a_repr() -> None:
    resource = issuer_resource()
    assert encode(resource.keys[0].public_key) not in repr(compile_issuer(resource))


@pytest.mark.parametrize(
    ("verified", "believed"),
    [(None, True), (True, True), ("true", True), (False, False), ("false", False), (0, False)],
)
def test_an_address_that_its_issuer_has_not_verified_names_nobody(
    verified: object, *, believed: bool
) -> None:
    issuers = {ISSUER: compile_issuer(issuer_resource(claim="email"))}
    token = key_pair("ES256").sign(claims(email="alice@example.com", email_verified=verified))
    if believed:
        assert verify(token, issuers=issuers).principal_name == "alice@example.com"
    else:
        with pytest.raises(TokenRefused, match="email_verified"):
            verify(token, issuers=issuers)
    # Where another claim names the principal, the address does not matter.
    assert verify(token).principal_name == "alice"
