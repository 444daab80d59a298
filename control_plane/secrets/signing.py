"""The key pairs that this deployment signs tokens with: made, shared by all replicas, replaced.

Before: `identity.oauth`. After: `encryption`,
`store.secrets.signing_keys`.
"""

import secrets
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from modelplane.adapters.shared.jwt.keys import encode_key
from modelplane.adapters.shared.jwt.tokens import sign
from modelplane.adapters.shared.jwt.verifier import LEEWAY_SECONDS
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.secrets.encryption import Sealer, wrapped_by
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.issuers import revise_own_issuer
from modelplane.control_plane.store.secrets.signing_keys import (
    SigningKey,
    insert_signing_key,
    load_signing_keys,
    remove_signing_keys,
    signing_key_place,
)

# Claim that names the principal.
SUBJECT = "sub"
TOKEN_SECONDS = 3600
# A new key signs once every worker must know it; until then, the one before it does.
_SETTLE_MS = 30_000
# A replaced key verifies until the last token that it signed has expired.
_OVERLAP_MS = _SETTLE_MS + (TOKEN_SECONDS + 2 * LEEWAY_SECONDS) * 1000
_ID_BYTES = 8


class Signer:
    """Signs tokens with the deployment's newest key that all workers know."""

    def __init__(self, sealer: Sealer, clock: Clock) -> None:
        self._sealer = sealer
        self._clock = clock
        # By what is stored, so that a key is unsealed once.
        self._opened: dict[bytes, ed25519.Ed25519PrivateKey] = {}

    async def sign(self, claims: Mapping[str, Any], keys: Sequence[SigningKey]) -> str:
        """Return a token.

        Args:
            claims: What it says.
            keys: The deployment's keys as they are stored, newest first.

        Raises:
            SealBroken: The key cannot be opened.
            StoreUnavailable: The master key is kept elsewhere, and that does not answer.
        """
        settled = [key for key in keys if key.created_ms + _SETTLE_MS <= self._clock()]
        key = settled[0] if settled else keys[-1]
        private = self._opened.get(key.sealed)
        if private is None:
            opened = await self._sealer.open(key.sealed, signing_key_place(key.id))
            private = ed25519.Ed25519PrivateKey.from_private_bytes(opened)
            self._opened = {key.sealed: private}
        return sign(claims, key.id, private)


async def ensure_signing_key(
    database: Database, sealer: Sealer, clock: Clock, lost: Collection[str] = ()
) -> None:
    """Make the deployment's first key, or one in place of what can be opened no more.

    Every replica may call it at each start.

    Args:
        database: Where keys are stored.
        sealer: Seals the private key.
        clock: The time.
        lost: Identifiers of master keys that are lost.
    """
    async with database.read() as session:
        keys = await load_signing_keys(session)
    if keys and not _sealed_with(keys, lost):
        return
    new = await _new_key(sealer, clock)
    async with database.write() as transaction:
        # Replicas that start at the same time take turns.
        await transaction.hold_revisions()
        keys = await load_signing_keys(transaction.session)
        gone = _sealed_with(keys, lost)
        if gone or not keys:
            await remove_signing_keys(transaction, gone)
            await insert_signing_key(transaction, new)
            await revise_own_issuer(transaction)


async def rotate_signing_key(
    database: Database, sealer: Sealer, clock: Clock, *, revoke: bool = False
) -> int:
    """Make a new key that signs from now on, and return the revision that brings it to workers.

    Args:
        database: Where keys are stored.
        sealer: Seals the private key.
        clock: The time.
        revoke: Remove the keys so far at once, which voids all tokens: every client logs in again.
            Else they verify as long as a token signed with them may live.
    """
    new = await _new_key(sealer, clock)
    async with database.write() as transaction:
        await transaction.hold_revisions()
        old = await load_signing_keys(transaction.session)
        gone = [key.id for key in old] if revoke else _outlived(old, clock())
        await remove_signing_keys(transaction, gone)
        await insert_signing_key(transaction, new)
        return await revise_own_issuer(transaction)


def _sealed_with(keys: Sequence[SigningKey], lost: Collection[str]) -> list[str]:
    return [key.id for key in keys if wrapped_by(key.sealed) in lost]


def _outlived(keys: Sequence[SigningKey], now_ms: int) -> list[str]:
    """Return the keys that were replaced so long ago that no token of theirs is left."""
    return [old.id for newer, old in pairwise(keys) if newer.created_ms + _OVERLAP_MS <= now_ms]


async def _new_key(sealer: Sealer, clock: Clock) -> SigningKey:
    private = ed25519.Ed25519PrivateKey.generate()
    key_id = secrets.token_hex(_ID_BYTES)
    sealed = await sealer.seal(private.private_bytes_raw(), signing_key_place(key_id))
    return SigningKey(key_id, encode_key(private.public_key()), sealed, clock())
