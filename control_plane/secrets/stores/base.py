"""What every store of secrets offers: reading, and nothing else.

Implemented by `environment`, `files`, `secrets_manager`, `vault`. Used by `secrets.sync`,
`secrets.scopes`.
"""

from collections.abc import Collection, Mapping
from typing import Protocol


class StoreAway(Exception):
    """The store does not answer, or refuses to; the message holds no secret."""


class SecretStore(Protocol):
    """Keeps the secrets of one scope."""

    @property
    def backend(self) -> str:
        """Kind of store, as the API names it."""

    async def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Return the values of those `keys` that exist.

        Raises:
            StoreAway: It cannot be known.
        """

    async def list_keys(self) -> list[str]:
        """Return all keys.

        Raises:
            StoreAway: They cannot be known.
        """
