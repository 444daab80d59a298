"""Tokens that nobody may get in with: each rule broken by hand, and thousands broken by chance."""

import hashlib
import hmac
from collections.abc import Iterator
from random import Random
from typing import Any

import orjson
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from modelplane.adapters.shared.jwt.keys import encode_key
from modelplane.adapters.shared.jwt.tokens import encode
from tests.adapters.shared.jwt.issuers import NOW, KeyPair, all_keys, claims, key_pair

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def named() -> dict[str, str]:
    """Return tokens that break one rule each, by what they break."""
    found = {}
    for key in all_keys():
        for name, token in {**_times(key), **_claims(key), **_headers(key), **_shapes(key)}.items():
            found[f"{key.algorithm}: {name}"] = token
        stranger = key_pair(key.algorithm, f"stranger-{key.algorithm}")
        found[f"{key.algorithm}: another key of the same name"] = stranger.sign(
            claims(), kid=key.key_id
        )
        found[f"{key.algorithm}: an unknown key"] = stranger.sign(claims())
        for other in all_keys():
            if other is not key:
                mixed = other.sign(claims(), kid=key.key_id, alg=key.algorithm)
                found[f"{key.algorithm}: signed by {other.algorithm}"] = mixed
                crossed = key.sign(claims(), kid=other.key_id)
                found[f"{key.algorithm}: under the name of {other.algorithm}"] = crossed
    return found


def mutated(random: Random, count: int) -> Iterator[str]:
    """Yield `count` good tokens after a change of some characters or the order of their parts."""
    good = [key.sign(claims()) for key in all_keys()]
    made = 0
    while made < count:
        token = random.choice(good)
        changed = random.choice((_replaced, _cut, _doubled, _swapped, _spliced))(random, token)
        if changed not in good:
            made += 1
            yield changed


def noise(random: Random, count: int) -> Iterator[str]:
    """Yield `count` strings, among them such of three parts."""
    characters = ALPHABET * 4 + "..=+/ \x00é\u202e🔑"
    for _ in range(count):
        parts = ["".join(random.choices(characters, k=random.randrange(80))) for _ in range(3)]
        yield ".".join(parts[: random.choice((1, 2, 3, 3, 3))])


def _times(key: KeyPair) -> dict[str, str]:
    return {
        "expired": key.sign(claims(exp=NOW - 60)),
        "not yet valid": key.sign(claims(nbf=NOW + 61)),
        "issued in the future": key.sign(claims(iat=NOW + 61)),
        "no expiry": key.sign(claims(exp=None)),
        "no time of issue": key.sign(claims(iat=None)),
        "expiry in words": key.sign(claims(exp="never")),
        "expiry true": key.sign(claims(exp=True)),
        "expiry in a list": key.sign(claims(exp=[NOW + 60])),
        "negative time": key.sign(claims(iat=-1)),
        "time beyond all numbers": key.sign_raw(
            _header(key), orjson.dumps(claims())[:-1] + b',"nbf":1e999}'
        ),
        "expiry without end": key.sign_raw(_header(key), _with(b'"exp":1e999')),
        "expiry that is no number": key.sign_raw(_header(key), _with(b'"exp":NaN')),
        "a huge integer": key.sign_raw(_header(key), _with(b'"exp":' + b"9" * 9000)),
    }


def _claims(key: KeyPair) -> dict[str, str]:
    return {
        "another audience": key.sign(claims(aud="elsewhere")),
        "no audience": key.sign(claims(aud=None)),
        "audiences that are no text": key.sign(claims(aud=[7, None, {"modelplane": 1}])),
        "part of an audience": key.sign(claims(aud="model")),
        "another issuer": key.sign(claims(iss="https://evil.example.com")),
        "an issuer with a slash": key.sign(claims(iss="https://login.example.com/")),
        "no issuer": key.sign(claims(iss=None)),
        "issuers in a list": key.sign(claims(iss=["https://login.example.com"])),
        "no principal": key.sign(claims(sub=None)),
        "an empty principal": key.sign(claims(sub="")),
        "a number as principal": key.sign(claims(sub=7)),
        "a principal with a NUL": key.sign(claims(sub="ali\0ce")),
        "half a character as principal": key.sign_raw(_header(key), _with(b'"sub":"\\ud800"')),
        "an endless principal": key.sign(claims(sub="a" * 2000)),
        "a claim that stands twice": key.sign_raw(
            _header(key), orjson.dumps(claims())[:-1] + b',"sub":"alice"}'
        ),
    }


def _headers(key: KeyPair) -> dict[str, str]:
    secrets = {
        "DER": encode_key(key.public),
        "PEM": key.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }
    keyed = {
        f"HS256 with the public key as {name}": _keyed(key, secret)
        for name, secret in secrets.items()
    }
    none = {
        f"alg {alg}": f"{encode(orjson.dumps({'alg': alg, 'kid': key.key_id}))}."
        f"{encode(orjson.dumps(claims()))}."
        for alg in ("none", "None", "NONE", "nOnE")
    }
    signed = key.sign(claims())
    return {
        **keyed,
        **none,
        "alg none with a signature": key.sign(claims(), alg="none"),
        "no alg": key.sign(claims(), alg=None),
        "algs in a list": key.sign(claims(), alg=[key.algorithm]),
        "another alg": key.sign(claims(), alg="RS512"),
        "no kid": key.sign(claims(), kid=None),
        "kid is a number": key.sign(claims(), kid=1),
        "kid is a path": key.sign(claims(), kid="../../dev/null"),
        "brings its own key": key_pair(key.algorithm, "own").sign(
            claims(), jwk={"kty": "OKP"}, jku="https://evil.example.com"
        ),
        "a critical extension": key.sign(claims(), crit=["b64"], b64=False),
        "another type": key.sign(claims(), typ="JWE"),
        "a header that is a list": _joined(b"[]", signed),
        "a header that is no JSON": _joined(b"{", signed),
        "a header that is not UTF-8": _joined(b'{"alg":"\xff"}', signed),
    }


def _shapes(key: KeyPair) -> dict[str, str]:
    token = key.sign(claims())
    header, payload, signature = token.split(".")
    root = encode(orjson.dumps(claims(sub="root")))
    deep = b'{"a":' + b"[" * 9000
    return {
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "four parts": f"{token}.{signature}",
        "an encrypted form": f"{token}.{payload}.{signature}",
        "no claims": f"{header}..{signature}",
        "only points": "..",
        "padded": f"{token}=",
        "in the alphabet of plain base64": f"{header}.{payload}.+/{signature[2:]}",
        "a line break": f"{header}.{payload}\n.{signature}",
        "a space": f"{header}.{payload}. {signature}",
        "an ideograph": f"{header}.{payload}.署{signature}",
        "signature cut": token[:-4],
        "signature twice": f"{token}{signature}",
        "parts swapped": f"{payload}.{header}.{signature}",
        "claims of another token": f"{header}.{root}.{signature}",
        "claims that are no object": key.sign_raw(_header(key), b'"alice"'),
        "claims nested without end": key.sign_raw(_header(key), deep),
        "huge": key.sign(claims(more="x" * 40_000)),
    }


def _header(key: KeyPair) -> bytes:
    return orjson.dumps({"alg": key.algorithm, "kid": key.key_id})


def _with(member: bytes) -> bytes:
    """Return good claims with one replaced by a member that no encoder would write."""
    name = orjson.loads(b"{" + member.partition(b":")[0] + b":0}")
    return orjson.dumps(claims(**dict.fromkeys(name)))[:-1] + b"," + member + b"}"


def _joined(header: bytes, token: str) -> str:
    return ".".join([encode(header), *token.split(".")[1:]])


def _keyed(key: KeyPair, secret: bytes) -> str:
    said: dict[str, Any] = {"alg": "HS256", "kid": key.key_id}
    signed = f"{encode(orjson.dumps(said))}.{encode(orjson.dumps(claims()))}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _replaced(random: Random, token: str) -> str:
    place = random.randrange(len(token))
    return token[:place] + random.choice(ALPHABET + ".=") + token[place + 1 :]


def _cut(random: Random, token: str) -> str:
    start = random.randrange(len(token))
    return token[:start] + token[start + random.randrange(1, 40) :]


def _doubled(random: Random, token: str) -> str:
    start, length = random.randrange(len(token)), random.randrange(1, 40)
    return token[: start + length] + token[start:]


def _swapped(random: Random, token: str) -> str:
    parts = token.split(".")
    random.shuffle(parts)
    return ".".join(parts)


def _spliced(random: Random, token: str) -> str:
    """Return a token with a part of one that another key signed for another principal."""
    other = random.choice(all_keys()).sign(claims(sub="root"))
    parts = list(zip(token.split("."), other.split("."), strict=True))
    mixed = [random.choice(pair) for pair in parts]
    mixed[2] = parts[2][0] if mixed[1] == parts[1][1] else parts[2][1]
    return ".".join(mixed)
