"""Secrets in HashiCorp Vault's key-value engine, version 2.

The scope is one secret of Vault, and the keys are its fields. See `base`.
"""

import asyncio
import json
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import hvac
import requests
from hvac.exceptions import InvalidPath, VaultError
from requests.adapters import HTTPAdapter

from modelplane.control_plane.secrets.stores.base import StoreAway

_TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class VaultPlace:
    """Where a secret is in Vault."""

    address: str
    mount: str
    path: str
    # Of Vault's enterprise edition; empty: none.
    namespace: str = ""
    # File of the authority that Vault's certificate is checked by; empty: the system's.
    ca_file: str = ""


class VaultStore:
    """Reads one secret of Vault.

    Args:
        place: Where it is.
        read_token: Returns the token; asked each time, since an agent may renew it.
    """

    backend = "HASHICORP_VAULT"

    def __init__(self, place: VaultPlace, read_token: Callable[[], str]) -> None:
        self._place = place
        self._read_token = read_token

    async def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Return the values of those `keys` that exist.

        Raises:
            StoreAway: Vault does not answer or refuses.
        """
        fields = await asyncio.to_thread(self._fields)
        return {key: fields[key] for key in keys if key in fields}

    async def list_keys(self) -> list[str]:
        """Return all keys.

        Raises:
            StoreAway: Vault does not answer or refuses.
        """
        return list(await asyncio.to_thread(self._fields))

    def _fields(self) -> dict[str, bytes]:
        place = self._place
        try:
            client = hvac.Client(
                url=place.address,
                token=self._read_token(),
                namespace=place.namespace or None,
                timeout=_TIMEOUT_SECONDS,
                allow_redirects=False,
                session=_session(place.ca_file or True),
            )
            answer = client.secrets.kv.v2.read_secret_version(
                path=place.path, mount_point=place.mount, raise_on_deleted_version=True
            )
        except InvalidPath:
            return {}
        except (VaultError, OSError) as error:
            # `requests` raises errors of the operating system's kind. Their text may repeat what
            # was sent.
            raise StoreAway(type(error).__name__) from None
        found: dict[str, object] = answer["data"]["data"]
        return {key: _text(value).encode() for key, value in found.items()}


class _TlsAdapter(HTTPAdapter):
    """Accepts the same certificates on any Python, as `adapters.shared.tls` does and says why."""

    def init_poolmanager(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401 - passed on
        # It trusts nobody yet: the authorities come from `verify`.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        super().init_poolmanager(*arguments, ssl_context=context, **settings)


def _session(verify: str | bool) -> requests.Session:  # noqa: FBT001 - as `requests` has it
    session = requests.Session()
    session.verify = verify
    session.mount("https://", _TlsAdapter())
    return session


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
