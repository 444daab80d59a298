"""Envelope encryption of secrets at rest.

Each secret is sealed with a fresh data key, which a master key wraps. Both steps are bound to the
secret's place, so a sealed value moved to another row cannot be opened. A sealed value names the
master key that wrapped it; with a new master key only the wrapping is done again.

Neighbours: `scopes` and `credentials` seal and open; `keyring` holds the master keys;
`store.secrets.scopes` keeps what is sealed; `rotation` wraps it again.
"""

import asyncio
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32

# A sealed value, version 2: this byte; length and identifier of the master key; length and wrapped
# data key; nonce and ciphertext.
_VERSION = b"\x02"
# Version 1 named no master key: this byte; nonce and wrapped data key; nonce and ciphertext.
_UNNAMED = b"\x01"
_NONCE_BYTES = 12
_TAG_BYTES = 16
_UNNAMED_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + _TAG_BYTES
_MAX_ID_BYTES = 255
_LENGTH_BYTES = 2


class SealBroken(Exception):
    """A sealed value cannot be opened: another master key, another place, or damage."""


class MasterKey(Protocol):
    """Wraps data keys."""

    @property
    def id(self) -> str:
        """Identifier, at most 255 ASCII characters; says nothing about the key itself."""

    async def wrap(self, data_key: bytes, bound: bytes) -> bytes:
        """Return `data_key` encrypted, bound to `bound`.

        Raises:
            StoreUnavailable: The key is kept elsewhere, and that does not answer.
        """

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """Return the data key that was wrapped with this key for `bound`.

        Raises:
            SealBroken: It was not.
            StoreUnavailable: The key is kept elsewhere, and that does not answer.
        """


class Keyring(Protocol):
    """The master keys of a deployment."""

    def master_keys(self) -> Sequence[MasterKey]:
        """Return all keys; the first is the current one, which wraps what is new."""

    def make(self) -> None:
        """Make the first key, where there is none."""


class LocalKey:
    """A master key in this process's memory: AES-256-GCM."""

    def __init__(self, key_id: str, key: bytes) -> None:
        """Keep the key.

        Raises:
            ValueError: The key is not 32 bytes long.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"a master key must be {KEY_BYTES} bytes, not {len(key)}")
        self._id = key_id
        self._cipher = AESGCM(key)

    @property
    def id(self) -> str:
        """Identifier."""
        return self._id

    async def wrap(self, data_key: bytes, bound: bytes) -> bytes:
        """Return `data_key` encrypted."""
        return _encrypt(self._cipher, data_key, bound)

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """Return the data key.

        Raises:
            SealBroken: It was not wrapped with this key for `bound`.
        """
        return _decrypt(self._cipher, wrapped, bound)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """The parts of a sealed value."""

    version: bytes
    # Empty in version 1.
    key_id: str
    wrapped: bytes = field(repr=False)
    content: bytes = field(repr=False)


class Sealer:
    """Seals and opens secrets."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    async def seal(self, plaintext: bytes, place: bytes) -> bytes:
        """Return `plaintext` encrypted for `place`.

        Raises:
            StoreUnavailable: The master key is kept elsewhere, and that does not answer.
        """
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        bound = _VERSION + place
        head = await self._head(data_key, bound)
        return head + _encrypt(AESGCM(data_key), plaintext, bound)

    async def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return what was sealed for `place`.

        Raises:
            SealBroken: It was sealed with a master key that is not there or for another place, or
                is damaged.
            StoreUnavailable: The master key is kept elsewhere, and that does not answer.
        """
        parts = _parse(sealed, place)
        bound = parts.version + place
        data_key = await self._unwrap(parts, place)
        try:
            return _decrypt(AESGCM(data_key), parts.content, bound)
        except SealBroken:
            raise _broken(place) from None

    async def open_all(self, sealed: Iterable[tuple[bytes, bytes]]) -> list[bytes | SealBroken]:
        """Open many (sealed value, place) pairs at the same time.

        Raises:
            StoreUnavailable: A master key is kept elsewhere, and that does not answer.
        """
        return await asyncio.gather(*(self._open_or_tell(*item) for item in sealed))

    async def rewrap(self, sealed: bytes, place: bytes) -> bytes | None:
        """Return a sealed value wrapped with the current master key; None: it already is.

        Raises:
            SealBroken: It cannot be opened.
            StoreUnavailable: A master key is kept elsewhere, and that does not answer.
        """
        parts = _parse(sealed, place)
        if parts.version == _UNNAMED:
            return await self.seal(await self.open(sealed, place), place)
        if parts.key_id == self._keyring.master_keys()[0].id:
            return None
        data_key = await self._unwrap(parts, place)
        return await self._head(data_key, _VERSION + place) + parts.content

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether the current master key wraps a sealed value."""
        return wrapped_by(sealed) == self._keyring.master_keys()[0].id

    async def _head(self, data_key: bytes, bound: bytes) -> bytes:
        key = self._keyring.master_keys()[0]
        wrapped = await key.wrap(data_key, bound)
        return _VERSION + _with_length(key.id.encode(), 1) + _with_length(wrapped, _LENGTH_BYTES)

    async def _unwrap(self, parts: _Sealed, place: bytes) -> bytes:
        for key in self._keyring.master_keys():
            # Only local keys have wrapped a value that names none.
            unnamed = parts.version == _UNNAMED and isinstance(key, LocalKey)
            if unnamed or parts.key_id == key.id:
                try:
                    return await key.unwrap(parts.wrapped, parts.version + place)
                except SealBroken:
                    continue
        raise _broken(place)

    async def _open_or_tell(self, sealed: bytes, place: bytes) -> bytes | SealBroken:
        try:
            return await self.open(sealed, place)
        except SealBroken as error:
            return error


def wrapped_by(sealed: bytes) -> str:
    """Return the identifier of the master key that a sealed value names.

    Empty: it is of the older form that names none, or damaged.
    """
    try:
        return _parse(sealed, b"").key_id
    except SealBroken:
        return ""


def _parse(sealed: bytes, place: bytes) -> _Sealed:
    version, rest = sealed[:1], sealed[1:]
    if version == _UNNAMED:
        key_id = b""
        wrapped, content = rest[:_UNNAMED_WRAPPED_BYTES], rest[_UNNAMED_WRAPPED_BYTES:]
    elif version == _VERSION:
        key_id, rest = _take(rest, 1)
        wrapped, content = _take(rest, _LENGTH_BYTES)
    else:
        raise _broken(place)
    if not key_id.isascii() or (version == _VERSION and not key_id):
        raise _broken(place)
    return _Sealed(version, key_id.decode(), wrapped, content)


def _with_length(part: bytes, length_bytes: int) -> bytes:
    return len(part).to_bytes(length_bytes, "big") + part


def _take(rest: bytes, length_bytes: int) -> tuple[bytes, bytes]:
    end = length_bytes + int.from_bytes(rest[:length_bytes], "big")
    return rest[length_bytes:end], rest[end:]


def _broken(place: bytes) -> SealBroken:
    where = place.decode(errors="replace")
    return SealBroken(f"cannot open {where}: was it sealed with another master key?")


def _encrypt(cipher: AESGCM, plaintext: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, bound)


def _decrypt(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
        raise SealBroken("too short")
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except InvalidTag:
        raise SealBroken("not this key, not this place, or damaged") from None
