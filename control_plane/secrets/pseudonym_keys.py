"""The key of an endpoint's pseudonyms: made once, and sealed like the credentials beside it.

It never changes, so that a value has the same pseudonym in every conversation. Before:
`endpoints.setting_changes`, `snapshots.builder`. After: `encryption`, `store.secrets.credentials`.
"""

import secrets
from collections.abc import Collection, Mapping

from modelplane.control_plane.secrets.encryption import SealBroken, Sealer
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.secrets.credentials import (
    NO_VERSION,
    insert_credential,
    load_unversioned,
)
from modelplane.control_plane.store.secrets.sealed import credential_place

_PATH = "pseudonym-key"
_BYTES = 32


async def ensure_pseudonym_key(session: Session, sealer: Sealer, endpoint_id: str) -> None:
    """Make the key of an endpoint, unless it has one.

    Raises:
        StoreUnavailable: The master key is kept elsewhere, and that does not answer.
    """
    if await load_unversioned(session, [endpoint_id], _PATH):
        return
    place = credential_place(endpoint_id, NO_VERSION, _PATH)
    sealed = await sealer.seal(secrets.token_bytes(_BYTES), place)
    await insert_credential(session, endpoint_id, _PATH, sealed)


async def open_pseudonym_keys(
    session: Session, sealer: Sealer, endpoint_ids: Collection[str]
) -> Mapping[str, bytes]:
    """Return the keys of endpoints, as far as they have one that can be opened."""
    if not endpoint_ids:
        return {}
    found = await load_unversioned(session, endpoint_ids, _PATH)
    opened = await sealer.open_all(
        (sealed, credential_place(endpoint_id, NO_VERSION, _PATH))
        for endpoint_id, sealed in found.items()
    )
    pairs = zip(found, opened, strict=True)
    return {name: key for name, key in pairs if not isinstance(key, SealBroken)}
