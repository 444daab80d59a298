"""Where everything is kept, and what opens it.

Before: `serving`. After: `store.database`, `store.migrate`, `secrets`.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from modelplane.adapters.shared.settings import environment
from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.secrets.custody import ensure_master_key
from modelplane.control_plane.secrets.encryption import Keyring, Sealer
from modelplane.control_plane.secrets.signing import ensure_signing_key
from modelplane.control_plane.secrets.stores.base import SecretStore
from modelplane.control_plane.secrets.stores.declarations import opened_stores
from modelplane.control_plane.secrets.sync import SecretSync
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.tokens import ensure_admin_token
from modelplane.control_plane.store.migrate import migrate


@dataclass(frozen=True)
class Vault:
    """What all parts share.

    Attributes:
        database: The database, with the newest schema, an administrator and a signing key.
        sealer: Seals and opens what must not be read in it.
        stores: Other stores of secrets, by the scopes that they keep.
        sync: Copies the secrets of these.
    """

    database: Database
    sealer: Sealer
    stores: Mapping[str, SecretStore]
    sync: SecretSync


@asynccontextmanager
async def opened_vault(settings: Settings, keyring: Keyring) -> AsyncIterator[Vault]:
    """Yield the vault; on leaving, close it.

    Args:
        settings: Settings in force.
        keyring: Master keys, which wrap all secrets.

    Raises:
        StoreUnavailable: The database does not answer.
        ValueError: A setting is wrong, or a master key is not here that sealed something.
    """
    async with (
        aclosing(Database(settings.url)) as database,
        opened_stores(settings.secret_stores, environment()) as stores,
    ):
        await migrate(database)
        lost = [key_id.strip() for key_id in settings.lost_master_keys.split(",")]
        is_new = await ensure_master_key(database, keyring, lost)
        sealer = Sealer(keyring)
        await ensure_admin_token(database, settings.admin_token, settings.admin_user, system_clock)
        await ensure_signing_key(database, sealer, system_clock, lost)
        if is_new:
            await ensure_master_key(database, keyring, lost)
        sync = SecretSync(database, sealer, stores, system_clock)
        await sync.declare()
        yield Vault(database, sealer, stores, sync)
