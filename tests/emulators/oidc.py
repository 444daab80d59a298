"""An OpenID provider for tests: discovery, keys that can be replaced, and ways to misbehave.

With a `client` it signs users in by codes, as strictly as its standards say: each refusal names the
section that asks for it.
"""

import asyncio
import hashlib
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote_plus, urlencode

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from modelplane.adapters.shared.jwt.tokens import encode
from tests.adapters.shared.jwt.issuers import KeyPair, key_pair


def jwk(key: KeyPair) -> dict[str, Any]:
    """Return the public key as a JWK."""
    known = {"kid": key.key_id, "alg": key.algorithm, "use": "sig"}
    match key.public:
        case rsa.RSAPublicKey() as public:
            numbers = public.public_numbers()
            return {**known, "kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
        case ec.EllipticCurvePublicKey() as public:
            point = public.public_numbers()
            xy = {"x": encode(point.x.to_bytes(32)), "y": encode(point.y.to_bytes(32))}
            return {**known, "kty": "EC", "crv": "P-256", **xy}
        case public:
            x = encode(public.public_bytes_raw())
            return {**known, "kty": "OKP", "crv": "Ed25519", "x": x}


@dataclass
class SignInClient:
    """A client that the provider knows.

    Attributes:
        client_id: Identifier.
        secret: What it must prove to know; empty: nothing.
        redirect_uris: Where codes may go.
        claims: What ID tokens say beside what every one does: whom they are of.
        codes: What each code that was given, and not used yet, is bound to.
    """

    client_id: str
    secret: str
    redirect_uris: list[str]
    claims: dict[str, Any]
    codes: dict[str, dict[str, str]] = field(default_factory=dict)


class OidcEmulator:
    """Serves discovery and keys on a loopback port.

    Attributes:
        client: Whom users may be signed in for; None: nobody.
        keys: Keys that are published; others can be put in their place.
        answers: Answers by path, in the place of the right ones: status, body and headers.
        asked: Paths that were asked for.
    """

    def __init__(self, keys: Sequence[KeyPair] = ()) -> None:
        self.keys = list(keys) or [key_pair("RS256")]
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.asked: list[str] = []
        self.url = ""
        self.client: SignInClient | None = None
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path in self.answers:
            status, body, headers = self.answers[request.path]
            return web.Response(status=status, body=body, headers=headers)
        match request.path:
            case "/.well-known/openid-configuration":
                return web.json_response(self._discovery())
            case "/keys":
                return web.json_response({"keys": [jwk(key) for key in self.keys]})
        return web.Response(status=404)

    def _discovery(self) -> dict[str, Any]:
        known = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if self.client is None:
            return known
        endpoints = {
            "authorization_endpoint": f"{self.url}/authorize?tenant=a",
            "token_endpoint": f"{self.url}/token",
        }
        return {**known, **endpoints}

    async def _authorize(self, request: web.Request) -> web.Response:
        """Let whoever asks be signed in already, and return to the client with a code."""
        client, asked = self.client, dict(request.query)
        # RFC 6749, 4.1.2.1: with a wrong client or address, nobody is sent anywhere.
        if client is None or asked.get("client_id") != client.client_id:
            return web.Response(status=400, text="unknown client")
        if asked.get("redirect_uri") not in client.redirect_uris:
            return web.Response(status=400, text="this redirect_uri is not registered")
        back = asked["redirect_uri"]
        if error := _wrong_with(asked):
            raise web.HTTPFound(f"{back}?{urlencode({'error': error, 'state': asked['state']})}")
        code = secrets.token_urlsafe(16)
        client.codes[code] = asked
        raise web.HTTPFound(f"{back}?{urlencode({'code': code, 'state': asked['state']})}")

    async def _token(self, request: web.Request) -> web.Response:
        """Give an ID token for a code (RFC 6749, 4.1.3; RFC 7636, 4.6)."""
        client = self.client
        if request.content_type != "application/x-www-form-urlencoded" or client is None:
            return _refused("invalid_request")
        form = {name: str(value) for name, value in (await request.post()).items()}
        if not _knows(client, request.headers.get("authorization", ""), form):
            return _refused("invalid_client", 401)
        if form.get("grant_type") != "authorization_code":
            return _refused("unsupported_grant_type")
        # A code is good once (RFC 6749, 4.1.2), from where it was asked, for who asked.
        asked = client.codes.pop(form.get("code", ""), None)
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return _refused("invalid_grant")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if encode(digest) != asked["code_challenge"]:
            return _refused("invalid_grant")
        now = time.time()  # noqa: TID251 - of a token that is really sent
        claims = {"iss": self.url, "aud": client.client_id, "iat": now, "exp": now + 300}
        claims |= {"nonce": asked["nonce"], **client.claims}
        token = self.keys[0].sign(claims)
        return web.json_response({"access_token": "x", "token_type": "Bearer", "id_token": token})


def _wrong_with(asked: Mapping[str, str]) -> str:
    """Return the error of a request (OpenID Connect Core 1.0, 3.1.2.1 and 3.1.2.6)."""
    if not asked.get("state") or not asked.get("nonce") or asked.get("tenant") != "a":
        return "invalid_request"
    if asked.get("response_type") != "code":
        return "unsupported_response_type"
    if "openid" not in asked.get("scope", "").split():
        return "invalid_scope"
    # RFC 7636, 4.4.1.
    return "" if asked.get("code_challenge_method") == "S256" else "invalid_request"


def _knows(client: SignInClient, authorization: str, form: Mapping[str, str]) -> bool:
    """Tell whether the client has proved who it is, in one way (RFC 6749, 2.3)."""
    if not client.secret:
        return not authorization and form.get("client_id") == client.client_id
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
    basic = f"Basic {b64encode(pair.encode()).decode()}"
    return authorization == basic and "client_secret" not in form


def _refused(error: str, status: int = 400) -> web.Response:
    return web.json_response({"error": error}, status=status)


@contextmanager
def run_in_thread(keys: Sequence[KeyPair] = ()) -> Iterator[OidcEmulator]:
    """Run an emulator beside blocking clients until the block ends."""
    emulator, started, done = OidcEmulator(keys), threading.Event(), threading.Event()

    async def serve() -> None:
        async with emulator:
            started.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield emulator
    finally:
        done.set()
        thread.join()


def _number(value: int) -> str:
    return encode(value.to_bytes((value.bit_length() + 7) // 8))
