"""Public keys of issuers, each bound to its one algorithm.

The key says how a signature is checked; the token's `alg` only has to agree. So neither `none` nor
an HMAC keyed with a public key can pass. Used by `tokens` and `verifier`.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

RS256 = "RS256"
ES256 = "ES256"
EDDSA = "EdDSA"

_MIN_RSA_BITS = 2048
# Each check costs a power of the size; keys of the field end at 4096.
_MAX_RSA_BITS = 8192
# By the `kty` of a JWK.
_KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class KeyRefused(ValueError):
    """A public key that no signature may be checked with; the message says why."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key.

    Attributes:
        key_id: The `kid` of tokens signed with it.
        algorithm: The one `alg` of tokens signed with it.
        verifies: Tells whether a signature, its first argument, is that of the second.
    """

    key_id: str
    algorithm: str
    verifies: Callable[[bytes, bytes], bool] = field(repr=False)


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
    return VerificationKey(key_id, algorithm, _verifier_of(public, algorithm))


def parse_jwk(document: Mapping[str, Any]) -> PublicKey:
    """Return the key in a JWK (RFC 7517).

    Raises:
        KeyRefused: It is none, or not one that signatures can be checked with.
    """
    kind = _KINDS.get(str(document.get("kty")))
    if kind is None:
        raise KeyRefused("another kind of key")
    try:
        with warnings.catch_warnings():
            # Of keys that are too short, which `algorithm_of` refuses.
            warnings.simplefilter("ignore", SecurityWarning)
            public = kind.import_key(dict(document)).public_key
    except (JoseError, ValueError, TypeError, KeyError):
        raise KeyRefused("a key that cannot be read") from None
    if not isinstance(public, PublicKey):
        raise KeyRefused("another curve")
    return public


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


def _verifier_of(public: PublicKey, algorithm: str) -> Callable[[bytes, bytes], bool]:
    match public:
        case rsa.RSAPublicKey():
            key: RSAKey | ECKey | OKPKey = RSAKey.import_key(public)
        case ec.EllipticCurvePublicKey():
            key = ECKey.import_key(public)
        case _:
            key = OKPKey.import_key(public)
    # Asked of the table itself, which warns of nothing: RFC 9864 has renamed what issuers write.
    model = JWSRegistry.algorithms[algorithm]
    return lambda signature, signed: model.verify(signed, signature, key)
