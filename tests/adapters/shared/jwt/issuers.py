"""Issuers for tests: a key pair of each algorithm, and tokens signed with it."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from modelserving.worker.v1.snapshot_pb2 import IssuerResource, VerificationKey

from modelplane.adapters.shared.jwt.keys import EDDSA, ES256, RS256, PublicKey, encode_key
from modelplane.adapters.shared.jwt.tokens import encode

ISSUER = "https://login.example.com"
AUDIENCE = "modelplane"
NOW = 1_700_000_000

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True)
class KeyPair:
    key_id: str
    algorithm: str
    private: PrivateKey

    @property
    def public(self) -> PublicKey:
        return self.private.public_key()

    @property
    def message(self) -> VerificationKey:
        return VerificationKey(
            key_id=self.key_id, algorithm=self.algorithm, public_key=encode_key(self.public)
        )

    def signature(self, signed: bytes) -> bytes:
        match self.private:
            case rsa.RSAPrivateKey():
                return self.private.sign(signed, padding.PKCS1v15(), SHA256())
            case ec.EllipticCurvePrivateKey():
                r, s = decode_dss_signature(self.private.sign(signed, ec.ECDSA(SHA256())))
                return r.to_bytes(32) + s.to_bytes(32)
            case _:
                return self.private.sign(signed)

    def sign(self, claims: Any, **header: Any) -> str:
        """Return a token; `header` overrides what its header would hold, None leaves it out."""
        said = {"alg": self.algorithm, "kid": self.key_id, "typ": "JWT", **header}
        kept = {name: value for name, value in said.items() if value is not None}
        return self.sign_raw(orjson.dumps(kept), orjson.dumps(claims))

    def sign_raw(self, header: bytes, claims: bytes) -> str:
        signed = f"{encode(header)}.{encode(claims)}"
        return f"{signed}.{encode(self.signature(signed.encode()))}"


@cache
def key_pair(algorithm: str, key_id: str = "") -> KeyPair:
    private: PrivateKey
    match algorithm:
        case "RS256":
            private = rsa.generate_private_key(65537, 2048)
        case "ES256":
            private = ec.generate_private_key(ec.SECP256R1())
        case _:
            private = ed25519.Ed25519PrivateKey.generate()
    return KeyPair(key_id or f"key-{algorithm}", algorithm, private)


def all_keys() -> list[KeyPair]:
    return [key_pair(algorithm) for algorithm in (RS256, ES256, EDDSA)]


def issuer_resource(*keys: KeyPair, name: str = ISSUER, claim: str = "sub") -> IssuerResource:
    return IssuerResource(
        issuer=name,
        audiences=[AUDIENCE, "another"],
        principal_claim=claim,
        keys=[key.message for key in keys or all_keys()],
    )


def claims(**changed: Any) -> dict[str, Any]:
    """Return good claims; `changed` overrides them, None leaves one out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": NOW, "exp": NOW + 3600}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}
