"""Envelope encryption of secrets at rest.

Each secret is sealed with a fresh data key, which the master key wraps. Both steps are AES-256-GCM
and bound to the secret's place, so a sealed value moved to another row cannot be opened.

Neighbours: `secrets` and `credentials` seal and open; `store.secret_store` keeps what is sealed.
"""

import contextlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32

# A sealed value: version, nonce and wrapped data key, nonce and ciphertext.
_VERSION = b"\x01"
_NONCE_BYTES = 12
_WRAPPED_BYTES = _NONCE_BYTES + KEY_BYTES + 16


class SealBroken(Exception):
    """A sealed value cannot be opened: another master key, another place, or damage."""


class Sealer:
    """Seals and opens secrets with one master key."""

    def __init__(self, master_key: bytes) -> None:
        """Keep the key.

        Raises:
            ValueError: The key is not 32 bytes long.
        """
        if len(master_key) != KEY_BYTES:
            raise ValueError(f"the master key must be {KEY_BYTES} bytes, not {len(master_key)}")
        self._master = AESGCM(master_key)

    def seal(self, plaintext: bytes, place: bytes) -> bytes:
        """Return `plaintext` encrypted for `place`."""
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        bound = _VERSION + place
        wrapped = _encrypt(self._master, data_key, bound)
        return _VERSION + wrapped + _encrypt(AESGCM(data_key), plaintext, bound)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """Return what was sealed for `place`.

        Raises:
            SealBroken: It was sealed with another master key or for another place, or is damaged.
        """
        bound = _VERSION + place
        wrapped, rest = sealed[1 : 1 + _WRAPPED_BYTES], sealed[1 + _WRAPPED_BYTES :]
        if sealed[:1] != _VERSION or len(rest) < _NONCE_BYTES:
            raise SealBroken(f"not a sealed value: {place.decode(errors='replace')}")
        try:
            data_key = _decrypt(self._master, wrapped, bound)
            return _decrypt(AESGCM(data_key), rest, bound)
        except InvalidTag:
            raise SealBroken(
                f"cannot open {place.decode(errors='replace')}: was it sealed with another "
                "master key?"
            ) from None


def load_or_create_master_key(path: Path) -> bytes:
    """Return the master key kept in the file `path`, which is made at the first call.

    Raises:
        PermissionError: Others than the owner may read the file.
        ValueError: The file does not hold a key.
    """
    if path.exists():
        return _read_key(path)
    # A link appears with its content, so a second process never reads half a key.
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise PermissionError(
                f"{path} can be used by others than its owner; run: chmod 600 {path}"
            )
        key = file.read(KEY_BYTES + 1)
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path} does not hold a key of {KEY_BYTES} bytes")
    return key


def _encrypt(cipher: AESGCM, plaintext: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, bound)


def _decrypt(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
