"""Public keys of issuers, each bound to its one algorithm.

The key says how a signature is checked; the token's `alg` only has to agree. So neither `none` nor
an HMAC keyed with a public key can pass. Used by `tokens` and `verifier`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

RS256 = "RS256"
ES256 = "ES256"
EDDSA = "EdDSA"

_MIN_RSA_BITS = 2048
# Each check costs a power of the size; keys of the field end at 4096.
_MAX_RSA_BITS = 8192
# Of each of the two numbers in a signature.
_ES256_BYTES = 32


class KeyRefused(ValueError):
    """A public key that no signature may be checked with; the message says why."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key.

    Attributes:
        key_id: The `kid` of tokens signed with it.
        algorithm: The one `alg` of tokens signed with it.
        check: Raises when a signature, its first argument, is not that of the second.
    """

    key_id: str
    algorithm: str
    check: Callable[[bytes, bytes], None] = field(repr=False)

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Tell whether `signature` is this key's signature of `signed`."""
        try:
            self.check(signature, signed)
        except (InvalidSignature, ValueError):
            return False
        return True


def load_key(key_id: str, algorithm: str, der: bytes) -> VerificationKey:
    """Return the key in a SubjectPublicKeyInfo.

    Raises:
        KeyRefused: It is none, or too short, or not one for `algorithm`.
    """
    try:
        public = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefused(f"key '{key_id}' cannot be read") from None
    if not isinstance(public, PublicKey) or algorithm_of(public) != algorithm:
        raise KeyRefused(f"key '{key_id}' is not for {algorithm}")
    return VerificationKey(key_id, algorithm, _check_of(public))


def algorithm_of(public: PublicKey) -> str:
    """Return the one algorithm that tokens signed with a key must name.

    Raises:
        KeyRefused: It has no supported one, or is too short.
    """
    match public:
        case rsa.RSAPublicKey():
            if not _MIN_RSA_BITS <= public.key_size <= _MAX_RSA_BITS:
                raise KeyRefused(f"an RSA key of {public.key_size} bits")
            return RS256
        case ec.EllipticCurvePublicKey():
            if not isinstance(public.curve, ec.SECP256R1):
                raise KeyRefused(f"a key on the curve {public.curve.name}")
            return ES256
        case _:
            return EDDSA


def encode_key(public: PublicKey) -> bytes:
    """Return the key as the DER of a SubjectPublicKeyInfo."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_of(public: PublicKey) -> Callable[[bytes, bytes], None]:
    match public:
        case rsa.RSAPublicKey():
            pkcs, sha256 = padding.PKCS1v15(), SHA256()
            return lambda signature, signed: public.verify(signature, signed, pkcs, sha256)
        case ec.EllipticCurvePublicKey():
            ecdsa = ec.ECDSA(SHA256())
            return lambda signature, signed: public.verify(_der(signature), signed, ecdsa)
        case _:
            return public.verify


def _der(signature: bytes) -> bytes:
    """Return an ECDSA signature in the form of OpenSSL instead of that of JWS."""
    if len(signature) != 2 * _ES256_BYTES:
        raise InvalidSignature
    r, s = signature[:_ES256_BYTES], signature[_ES256_BYTES:]
    return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
