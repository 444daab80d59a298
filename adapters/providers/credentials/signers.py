"""How requests prove whose they are: a value that an adapter is given, of one kind for each proof.

A signer serves all calls of its served entity at once and remembers none of them. With what it
signed a request travels with that request, so that what a provider repeats of it can be taken out
of that answer, whichever credential is in force by then (`errors.AdapterError.conceal`).

`cache.py` keeps the short-lived credentials; Amazon's signatures are `amazon_bedrock/signing.py`'s.
"""

from collections.abc import Mapping

from modelplane.adapters.providers.credentials.cache import Credential, CredentialSource
from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.types import HttpRequest

_UNAUTHENTICATED = 401


class Signer:
    """Signs requests; this one has nothing to prove.

    Attributes:
        headers: Headers that every request carries; its adapter puts them there.
        source: Where a short-lived credential comes from; None: none is needed.
    """

    __slots__ = ()

    headers: Mapping[str, str] = {}
    source: CredentialSource | None = None

    def sign(self, request: HttpRequest, credential: Credential, now: float) -> HttpRequest:
        """Return a request with its proof, and with the secrets that no answer may repeat.

        Args:
            request: A request with `headers`.
            credential: The credential of `source` in force.
            now: Seconds since the epoch.
        """
        del credential, now
        return request

    def refuses(self, status: int, headers: Mapping[str, str]) -> bool:
        """Return whether a response says that its request's credential is not in force.

        A short-lived one that was revoked early is then replaced, and the request sent once more.

        Args:
            status: HTTP status.
            headers: Headers, looked up in lower case.
        """
        del headers
        return status == _UNAUTHENTICATED


class KeySigner(Signer):
    """Sends a lasting key in a header."""

    __slots__ = ("_secrets", "headers")

    def __init__(self, key: str, header: str = "authorization", scheme: str = "Bearer ") -> None:
        """Send a key.

        Args:
            key: The key.
            header: Name of the header, in lower case.
            scheme: What stands before the key.
        """
        self.headers = {header: scheme + key}
        self._secrets = (key,)

    def sign(self, request: HttpRequest, credential: Credential, now: float) -> HttpRequest:
        """Return the request, which has its key already; see `Signer`."""
        del credential, now
        request.secrets = self._secrets
        return request


class TokenSigner(Signer):
    """Sends the access token in force as a bearer token."""

    __slots__ = ("source",)

    def __init__(self, source: CredentialSource) -> None:
        """Send tokens.

        Args:
            source: Gets the tokens.
        """
        self.source = source

    def sign(self, request: HttpRequest, credential: Credential, now: float) -> HttpRequest:
        """Return the request with the token; see `Signer`."""
        del now
        (token,) = credential.values
        headers = {**request.headers, "authorization": f"Bearer {token}"}
        return HttpRequest(
            request.provider,
            request.url,
            headers,
            request.body,
            request.method,
            (token,),
            request.owner,
        )


def check_key(field: str, key: str) -> str:
    """Return the API key in the configuration field `field`.

    Raises:
        ConfigRefused: It is missing, or no header can carry it.
    """
    if not key:
        raise ConfigRefused(f"{field} has no value")
    if not (key.isascii() and key.isprintable()):
        raise ConfigRefused(f"{field} holds characters that an HTTP header cannot carry")
    return key
