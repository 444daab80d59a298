"""Whose pod a token is: it is one of a service account, bound to a pod, for this launcher alone.

Used by `cluster.py`. The API server publishes the keys that such tokens are signed with, so that no
right is needed to check one (https://kubernetes.io/docs/tasks/configure-pod-container/
configure-service-account/#service-account-issuer-discovery).
"""

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

from modelplane.adapters.shared.jwt.keys import KeyRefused, load_key
from modelplane.adapters.shared.jwt.tokens import TokenRefused, UnknownKey, parse
from modelplane.adapters.shared.jwt.verifier import Issuer, TokenVerifier
from modelplane.adapters.shared.oidc import parse_keys
from modelplane.launcher.cluster.cluster import ClusterAway, Stranger
from modelplane.launcher.kubernetes.api import Api
from modelplane.launcher.kubernetes.manifests import AUDIENCE

_DISCOVERY = "/.well-known/openid-configuration"
_KEYS = "/openid/v1/jwks"
# Keys are asked for again when one is not known, but not for each stranger.
_AGAIN_SECONDS = 10.0


class Pod(NamedTuple):
    """The pod that a token is bound to."""

    namespace: str
    name: str
    uid: str


class PodTokens:
    """Checks tokens.

    Args:
        api: The API server.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._issuer: Issuer | None = None
        self._fetched_at = 0.0
        self._verifier = TokenVerifier()

    async def check(self, token: str) -> Pod:
        """Return the pod of a token.

        Raises:
            Stranger: It is not believed.
            ClusterAway: The keys cannot be had.
        """
        try:
            try:
                return self._pod(token, self._issuer or await self._fetch())
            except UnknownKey:
                if self._now() - self._fetched_at < _AGAIN_SECONDS:
                    raise
                return self._pod(token, await self._fetch())
        except TokenRefused as error:
            raise Stranger(f"The token is refused: {error}.") from error

    def _pod(self, token: str, issuer: Issuer) -> Pod:
        digest = hashlib.sha256(token.encode()).digest()
        self._verifier.verify(token, digest, {issuer.name: issuer}, self._now())
        claimed = parse(token).claims.get("kubernetes.io")
        if not isinstance(claimed, dict) or not isinstance(pod := claimed.get("pod"), dict):
            raise Stranger("The token is bound to no pod.")
        return Pod(str(claimed.get("namespace")), str(pod.get("name")), str(pod.get("uid")))

    async def _fetch(self) -> Issuer:
        self._fetched_at = self._now()
        discovered = await self._api.get(_DISCOVERY)
        published = parse_keys(await self._api.get(_KEYS))
        try:
            keys = {
                key.key_id: load_key(key.key_id, key.algorithm, key.public_key) for key in published
            }
        except KeyRefused as error:
            raise ClusterAway(f"A key of the API server cannot be used: {error}") from error
        name = str(discovered.get("issuer", ""))
        self._issuer = Issuer(name, frozenset({AUDIENCE}), "sub", keys)
        return self._issuer

    @staticmethod
    def _now() -> float:
        return datetime.now(UTC).timestamp()
