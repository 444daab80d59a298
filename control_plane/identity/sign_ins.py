"""Use cases for signing in with an account at an outside issuer: where to go, and what comes back.

Nothing is kept in between. The browser has the code verifier, of which the issuer knows the digest,
and the nonce follows from that: so a code is good in the browser that asked for it alone. Before:
`sign_in_servicer`. After: `adapters.shared.oidc_login`, `authentication`, `sessions`.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from modelplane.adapters.shared.jwt.tokens import encode
from modelplane.adapters.shared.oidc import IssuerUnavailable
from modelplane.adapters.shared.oidc_login import (
    Client,
    CodeRefused,
    Provider,
    authorization_url,
    find_provider,
    host_of,
    redeem,
)
from modelplane.control_plane.errors import (
    InvalidParameter,
    IssuerAway,
    NotFound,
    TooManyCalls,
    Unauthenticated,
)
from modelplane.control_plane.identity.authentication import Authenticator
from modelplane.control_plane.identity.sessions import NewSession, Sessions
from modelplane.control_plane.identity.sign_in_methods import SignInMethod
from modelplane.control_plane.principal import caller_found

# Questions to issuers at the same time: each may wait for seconds, and strangers cause them.
MAX_AT_ONCE = 16
# So long it is known where endpoints of issuers are: none is asked whenever a stranger begins.
FRESH_SECONDS = 300.0
MAX_CODE = 4096
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
# RFC 7636, section 4.1.
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_STATE = re.compile(r"[A-Za-z0-9_-]{16,128}")


class SignIns:
    """Signs browsers in."""

    def __init__(
        self,
        methods: Mapping[str, SignInMethod],
        authenticator: Authenticator,
        sessions: Sessions,
    ) -> None:
        """Keep the collaborators.

        Args:
            methods: The issuers with whose accounts one can sign in, by their name.
            authenticator: Knows whom their tokens stand for.
            sessions: Begins sessions.
        """
        self._methods = methods
        self._authenticator = authenticator
        self._sessions = sessions
        self._asked = 0
        # By issuer: when it was asked where its endpoints are, and what it said.
        self._found: dict[str, tuple[float, Provider]] = {}

    def methods(self) -> Sequence[SignInMethod]:
        """Return the methods, in the order of the setting."""
        return list(self._methods.values())

    def check_offered(self, issuer: str) -> None:
        """Check that one can sign in with an issuer.

        Raises:
            NotFound: One cannot.
        """
        if issuer not in self._methods:
            raise NotFound("Nobody signs in with this issuer: see GET /api/2.0/ui/sign-in/methods.")

    async def begin(self, issuer: str, challenge: str, state: str, page: str) -> str:
        """Return the address at which the issuer asks who is there.

        Args:
            issuer: The issuer.
            challenge: Digest of the code verifier.
            state: Comes back with the code.
            page: Address of the pages, to which the issuer returns.

        Raises:
            InvalidParameter: A value has another form.
            NotFound: One cannot sign in with this issuer.
            TooManyCalls: Issuers are asked too much already.
            IssuerAway: The issuer did not answer as it should.
        """
        method = self._method(issuer, page)
        _check(_CHALLENGE, challenge, "code_challenge is no SHA-256 in base64url.")
        _check(_STATE, state, "state must have 16 to 128 letters, digits, '-' and '_'.")
        parameters = {
            "response_type": "code",
            "client_id": method.client_id,
            "redirect_uri": page,
            "scope": " ".join(method.scopes),
            "state": state,
            "nonce": _nonce(challenge),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        with self._asking(issuer):
            provider = await self._provider(issuer)
        return authorization_url(provider, parameters)

    async def complete(
        self, issuer: str, code: str, verifier: str, page: str, user_agent: str
    ) -> NewSession:
        """Begin a session of whom the issuer says to be there.

        Args:
            issuer: The issuer.
            code: What it gave.
            verifier: The code verifier.
            page: Address of the pages, as when it began.
            user_agent: What the browser says that it is.

        Raises:
            InvalidParameter: A value has another form.
            NotFound: One cannot sign in with this issuer.
            PermissionDenied: Nobody of that name is in this deployment.
            TooManyCalls: Issuers are asked too much already.
            Unauthenticated: The code or what it gives is not believed.
            IssuerAway: The issuer did not answer as it should.
        """
        method = self._method(issuer, page)
        _check(_VERIFIER, verifier, "code_verifier has no form of RFC 7636.")
        if not 0 < len(code) <= MAX_CODE:
            raise InvalidParameter(f"code must have 1 to {MAX_CODE} characters.")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": page,
            "code_verifier": verifier,
        }
        client = Client(method.client_id, method.client_secret)
        with self._asking(issuer):
            token = await redeem(await self._provider(issuer), client, form)
        nonce = _nonce(encode(hashlib.sha256(verifier.encode()).digest()))
        found = await self._authenticator.identify(token, issuer, method.client_id, nonce)
        caller_found.get()(found)
        return await self._sessions.create_at_issuer(found, user_agent)

    def _method(self, issuer: str, page: str) -> SignInMethod:
        self.check_offered(issuer)
        if not page:
            raise InvalidParameter("Sign in through the public port, which knows its own address.")
        return self._methods[issuer]

    async def _provider(self, issuer: str) -> Provider:
        now = asyncio.get_running_loop().time()
        asked, provider = self._found.get(issuer, (now, None))
        if provider is None or now - asked >= FRESH_SECONDS:
            provider = await find_provider(issuer)
            self._found[issuer] = now, provider
        return provider

    @contextmanager
    def _asking(self, issuer: str) -> Iterator[None]:
        """Count a question to an issuer; its errors become those of this API."""
        if self._asked >= MAX_AT_ONCE:
            raise TooManyCalls("Too many sign in at the moment; try again.")
        self._asked += 1
        try:
            yield
        except CodeRefused as error:
            raise Unauthenticated(f"{host_of(issuer)} has not let you in: {error}.") from error
        except IssuerUnavailable as error:
            self._found.pop(issuer, None)
            raise IssuerAway(f"{host_of(issuer)} cannot be asked now: {error}.") from error
        finally:
            self._asked -= 1


def _nonce(challenge: str) -> str:
    return encode(hashlib.sha256(challenge.encode()).digest())


def _check(form: re.Pattern[str], value: str, message: str) -> None:
    if not form.fullmatch(value):
        raise InvalidParameter(message)
