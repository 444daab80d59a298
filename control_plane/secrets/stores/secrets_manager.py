"""Secrets in AWS Secrets Manager.

The identity and the address are those that every AWS client finds by itself. See `base`.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from modelplane.control_plane.secrets.stores.base import StoreAway

_MAX_CALLS = 8
_CONFIG = Config(
    connect_timeout=3,
    read_timeout=5,
    max_pool_connections=_MAX_CALLS,
    retries={"mode": "standard", "max_attempts": 2},
)
_GONE = ("ResourceNotFoundException", "InvalidRequestException")


class SecretsManagerStore:
    """The key `NAME` is the secret called `PREFIXNAME`."""

    backend = "AWS_SECRETS_MANAGER"

    def __init__(self, client: Any, prefix: str) -> None:  # noqa: ANN401 - built at run time by AWS
        self._client = client
        self._prefix = prefix
        self._calls = asyncio.Semaphore(_MAX_CALLS)

    async def read(self, keys: Collection[str]) -> Mapping[str, bytes]:
        """Return the values of those `keys` that exist.

        Raises:
            StoreAway: Secrets Manager does not answer or refuses.
        """
        values = await asyncio.gather(*(self._read_one(key) for key in keys))
        found = zip(keys, values, strict=True)
        return {key: value for key, value in found if value is not None}

    async def list_keys(self) -> list[str]:
        """Return all keys.

        Raises:
            StoreAway: Secrets Manager does not answer or refuses.
        """
        filters = [{"Key": "name", "Values": [self._prefix]}] if self._prefix else []
        try:
            pages = self._client.get_paginator("list_secrets").paginate(Filters=filters)
            names = [item["Name"] async for page in pages for item in page["SecretList"]]
        except (ClientError, BotoCoreError, OSError) as error:
            raise _away(error) from error
        # The filter knows no upper and lower case.
        return [name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix)]

    async def _read_one(self, key: str) -> bytes | None:
        try:
            async with self._calls:
                answer = await self._client.get_secret_value(SecretId=self._prefix + key)
        except ClientError as error:
            # A secret marked for deletion is an invalid request.
            if error.response.get("Error", {}).get("Code") in _GONE:
                return None
            raise _away(error) from error
        except (BotoCoreError, OSError) as error:
            raise _away(error) from error
        binary: bytes | None = answer.get("SecretBinary")
        return str(answer["SecretString"]).encode() if binary is None else binary


@asynccontextmanager
async def opened_secrets_manager(region: str, prefix: str) -> AsyncIterator[SecretsManagerStore]:
    """Yield the store of a region; the keys are the names after `prefix`."""
    session = aioboto3.Session()
    async with session.client("secretsmanager", region_name=region, config=_CONFIG) as client:
        yield SecretsManagerStore(client, prefix)


def _away(error: Exception) -> StoreAway:
    if isinstance(error, ClientError):
        return StoreAway(str(error.response.get("Error", {}).get("Code", "refused")))
    return StoreAway(type(error).__name__)
