"""Which tokens are believed: those of a known issuer, for this deployment, in their time.

A verified token is remembered until it expires, so that one which comes again costs a look-up.
Used by the workers' `access` and the control plane's `authentication`.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelserving.worker.v1.snapshot_pb2 import IssuerResource

from modelplane.adapters.shared.jwt.keys import KeyRefused, VerificationKey, load_key
from modelplane.adapters.shared.jwt.tokens import Jws, TokenRefused, UnknownKey, parse

# Clocks of issuers, control planes and workers may differ by this.
LEEWAY_SECONDS = 60
_CAPACITY = 10_000
# Numbers up to here are exact as floating point numbers too.
_MAX_TIME = 1 << 53
_MAX_NAME = 1024
# OpenID Connect Core 1.0, section 5.1.
_EMAIL = "email"
_VERIFIED = "email_verified"


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer whose tokens are believed.

    Attributes:
        name: The `iss` claim.
        audiences: Accepted `aud` claims.
        principal_claim: Claim that holds the principal's name.
        keys: Keys that may have signed, by identifier.
    """

    name: str
    audiences: frozenset[str]
    principal_claim: str
    keys: Mapping[str, VerificationKey] = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a token that is believed says.

    Attributes:
        issuer: Who issued it.
        principal_name: Name of the principal that it stands for.
        issued_at: Seconds since the epoch.
        expires_at: Time from which on it is refused, seconds since the epoch.
    """

    issuer: Issuer
    principal_name: str
    issued_at: float
    expires_at: float


def compile_issuer(resource: IssuerResource) -> Issuer:
    """Return an issuer with those of its keys that can be used."""
    return Issuer(
        name=resource.issuer,
        audiences=frozenset(resource.audiences),
        principal_claim=resource.principal_claim,
        keys={key.key_id: key for key in _usable(resource)},
    )


class TokenVerifier:
    """Verifies tokens, and remembers those that were."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        """Remember nothing yet.

        Args:
            capacity: Number of tokens to remember; those not seen for longest are forgotten.
        """
        self._capacity = capacity
        self._verified: OrderedDict[bytes, VerifiedToken] = OrderedDict()

    def verify(
        self, token: str, digest: bytes, issuers: Mapping[str, Issuer], now: float
    ) -> VerifiedToken:
        """Return what a token says.

        Args:
            token: The token.
            digest: Its digest, by which it is remembered.
            issuers: Issuers as they are now, by their `iss` claim. One that changed must be another
                object: tokens verified with what it was before are verified again.
            now: Seconds since the epoch.

        Raises:
            UnknownKey: The issuer is known, the key is not.
            TokenRefused: It is not believed for another reason.
        """
        known = self._verified.get(digest)
        if known is None or issuers.get(known.issuer.name) is not known.issuer:
            known = self._verified[digest] = _verify(parse(token), issuers, now)
            if len(self._verified) > self._capacity:
                self._verified.popitem(last=False)
        elif known.expires_at <= now:
            del self._verified[digest]
            raise TokenRefused("it has expired")
        else:
            self._verified.move_to_end(digest)
        return known


def _usable(resource: IssuerResource) -> Iterable[VerificationKey]:
    for key in resource.keys:
        try:
            yield load_key(key.key_id, key.algorithm, key.public_key)
        except KeyRefused:
            # One key of many must not take the others away.
            continue


def _verify(jws: Jws, issuers: Mapping[str, Issuer], now: float) -> VerifiedToken:
    name = jws.claims.get("iss")
    issuer = issuers.get(name) if isinstance(name, str) else None
    if issuer is None:
        raise TokenRefused("its issuer is not one that this deployment accepts")
    key = issuer.keys.get(jws.key_id)
    if key is None:
        raise UnknownKey(issuer.name)
    if key.algorithm != jws.algorithm or not key.verifies(jws.signature, jws.signed):
        raise TokenRefused("its signature is wrong")
    if issuer.audiences.isdisjoint(_audiences(jws.claims.get("aud"))):
        raise TokenRefused("it is for another audience")
    issued_at, expires_at = _check_times(jws.claims, now)
    return VerifiedToken(issuer, _principal_name(issuer, jws.claims), issued_at, expires_at)


def _check_times(claims: Mapping[str, Any], now: float) -> tuple[float, float]:
    expires_at, issued_at = _time(claims, "exp"), _time(claims, "iat")
    if expires_at + LEEWAY_SECONDS <= now:
        raise TokenRefused("it has expired")
    not_before = _time(claims, "nbf") if "nbf" in claims else 0
    if max(issued_at, not_before) > now + LEEWAY_SECONDS:
        raise TokenRefused("it is not valid yet")
    return issued_at, expires_at + LEEWAY_SECONDS


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    # `True` is an int to Python.
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = -1
    if not 0 <= value <= _MAX_TIME:
        raise TokenRefused(f"its claim '{name}' is missing or no time")
    return float(value)


def _audiences(claim: object) -> set[str]:
    claimed = claim if isinstance(claim, list) else [claim]
    return {item for item in claimed if isinstance(item, str)}


def _principal_name(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    name = claims.get(issuer.principal_claim)
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise TokenRefused(f"its claim '{issuer.principal_claim}' names no principal")
    # At many issuers anyone may give any address as theirs. Some write the truth value as text.
    if issuer.principal_claim == _EMAIL and claims.get(_VERIFIED, True) not in (True, "true"):
        raise TokenRefused(
            f"its claim '{_VERIFIED}' says that its issuer has not verified the address"
        )
    return name
