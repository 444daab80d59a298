"""The issuers of JWTs as this replica knows them, compiled once for each change.

Before: `authentication`. After: `snapshots.cache`. Beside: `outside_issuers`, which learns of it
when a token names a key that is not known.
"""

from collections.abc import Callable
from dataclasses import replace

from modelserving.worker.v1.snapshot_pb2 import IssuerResource

from modelplane.adapters.shared.jwt.tokens import TokenRefused, UnknownKey, parse
from modelplane.adapters.shared.jwt.verifier import (
    Issuer,
    TokenVerifier,
    VerifiedToken,
    compile_issuer,
)
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.snapshots.cache import SnapshotCache


class KnownIssuers:
    """Verifies JWTs."""

    def __init__(
        self, cache: SnapshotCache, clock: Clock, on_unknown_key: Callable[[str], None]
    ) -> None:
        """Follow the issuers that `cache` holds.

        Args:
            cache: Where they are; loaded already.
            clock: The time.
            on_unknown_key: Called with the issuer of a token whose key is not known.
        """
        self._cache = cache
        self._clock = clock
        self._on_unknown_key = on_unknown_key
        self._verifier = TokenVerifier()
        self._compiled: dict[str, tuple[IssuerResource, Issuer]] = {}
        self._issuers: dict[str, Issuer] = {}
        self._refresh()
        cache.on_change(self._refresh)

    def verify(self, token: str, digest: bytes) -> VerifiedToken:
        """Return what a token says.

        Raises:
            TokenRefused: It is not believed.
        """
        try:
            return self._verifier.verify(token, digest, self._issuers, self._clock() / 1000)
        except UnknownKey as error:
            self._on_unknown_key(error.issuer)
            raise

    def verify_id_token(self, token: str, issuer: str, client_id: str, nonce: str) -> VerifiedToken:
        """Return what the ID token of a sign-in says (OpenID Connect Core 1.0, section 3.1.3.7).

        Args:
            token: The token.
            issuer: Who must have issued it.
            client_id: Whom it must be for, whatever audiences are accepted elsewhere.
            nonce: What it must repeat.

        Raises:
            TokenRefused: It is not believed.
        """
        known = self._issuers.get(issuer)
        own = {} if known is None else {issuer: replace(known, audiences=frozenset({client_id}))}
        try:
            # Remembered by nobody, as it counts once and here.
            verified = TokenVerifier(0).verify(token, b"", own, self._clock() / 1000)
        except UnknownKey as error:
            self._on_unknown_key(error.issuer)
            raise
        claims = parse(token).claims
        if claims.get("nonce") != nonce:
            raise TokenRefused("it is of another sign-in")
        if claims.get("azp", client_id) != client_id:
            raise TokenRefused("it was issued to another client")
        return verified

    def _refresh(self) -> None:
        compiled = {}
        for name, resource in self._cache.issuers().items():
            known = self._compiled.get(name)
            # An issuer that is another object voids what is remembered of its tokens.
            same = known is not None and known[0] is resource
            compiled[name] = known if known and same else (resource, compile_issuer(resource))
        self._compiled = compiled
        self._issuers = {name: issuer for name, (_, issuer) in compiled.items()}
