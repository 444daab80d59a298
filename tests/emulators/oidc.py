"""An OpenID provider for tests: discovery, keys that can be replaced, and ways to misbehave."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

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


class OidcEmulator:
    """Serves discovery and keys on a loopback port.

    Attributes:
        keys: Keys that are published; others can be put in their place.
        answers: Answers by path, in the place of the right ones: status, body and headers.
        asked: Paths that were asked for.
    """

    def __init__(self, keys: Sequence[KeyPair] = ()) -> None:
        self.keys = list(keys) or [key_pair("RS256")]
        self.answers: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.asked: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
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
                return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys"})
            case "/keys":
                return web.json_response({"keys": [jwk(key) for key in self.keys]})
        return web.Response(status=404)


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
