"""Whether the master keys are here that sealed what is stored: asked before anything is served.

Without this, a deployment whose key was lost would make another one and look healthy, until the
first query needed a secret. Before: `server.vault`, `keys`. After: `keyring`, `rotation`.
"""

from collections.abc import Collection

from modelplane.control_plane.secrets.encryption import Keyring
from modelplane.control_plane.secrets.rotation import count_by_key
from modelplane.control_plane.store.database import Database


async def ensure_master_key(
    database: Database, keyring: Keyring, lost: Collection[str] = ()
) -> bool:
    """Make the first master key of a database in which nothing is sealed yet; tell whether it was.

    Another replica may be making another one at the same time: once something is sealed, ask again.

    Args:
        database: Where the sealed values are.
        keyring: The keys that are here.
        lost: Identifiers of keys that the operator has given up.

    Raises:
        ValueError: A key is not here that sealed something; the message is for the operator.
        StoreUnavailable: The database does not answer.
    """
    if await require_master_key(database, keyring, lost):
        return False
    keyring.make()
    return True


async def require_master_key(
    database: Database, keyring: Keyring, lost: Collection[str] = ()
) -> Collection[str]:
    """Check that the keys are here that sealed what is stored; return the identifiers of all.

    Args:
        database: Where the sealed values are.
        keyring: The keys that are here.
        lost: Identifiers of keys that the operator has given up.

    Raises:
        ValueError: A key is not here that sealed something; the message is for the operator.
        StoreUnavailable: The database does not answer.
    """
    counts = await count_by_key(database)
    here = {key.id for key in keyring.master_keys()}
    # Values of the first releases name no key: any that is here may be theirs.
    known = here | {""} if here else here
    for key_id, count in sorted(counts.items()):
        if key_id not in known and key_id not in lost:
            raise ValueError(_missing(key_id, count))
    return here


def _missing(key_id: str, count: int) -> str:
    named = f"the master key {key_id}" if key_id else "a master key"
    given_up = (
        f" If it is lost for good, start with MODELPLANE_LOST_MASTER_KEYS={key_id}: what it sealed "
        "must then be put again."
        if key_id
        else ""
    )
    return (
        f"{count} values in the database were sealed with {named}, which is not here. Put the file "
        "'master-key' back into the data directory, or name the key in MODELPLANE_MASTER_KEY or "
        f"MODELPLANE_MASTER_KEY_KMS.{given_up}"
    )
