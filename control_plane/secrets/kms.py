"""Master keys in AWS KMS, which never leave it.

KMS wraps and unwraps data keys; what it has unwrapped is kept in memory, so a secret costs one call
at most for as long as the process runs. The identity and the address are those that every AWS
client finds by itself, in the environment or from the machine.

Before: `keyring`. After: KMS.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.secrets.encryption import SealBroken

# Calls at a time: KMS limits their rate for a whole account.
_MAX_CALLS = 32
_MAX_REMEMBERED = 100_000
_MAX_ARN = 255
_CONFIG = Config(
    connect_timeout=3,
    read_timeout=5,
    max_pool_connections=_MAX_CALLS,
    retries={"mode": "standard", "max_attempts": 3},
)


class KmsKey:
    """A master key in KMS."""

    def __init__(self, arn: str, client: Any) -> None:  # noqa: ANN401 - built at run time by AWS
        self._arn = arn
        self._client = client
        self._calls = asyncio.Semaphore(_MAX_CALLS)
        self._unwrapped: OrderedDict[tuple[bytes, bytes], bytes] = OrderedDict()

    @property
    def id(self) -> str:
        """The key's ARN."""
        return self._arn

    async def wrap(self, data_key: bytes, bound: bytes) -> bytes:
        """Return `data_key` encrypted by KMS.

        Raises:
            StoreUnavailable: KMS does not answer or refuses.
        """
        answer = await self._call("encrypt", bound, Plaintext=data_key)
        wrapped: bytes = answer["CiphertextBlob"]
        self._remember(wrapped, bound, data_key)
        return wrapped

    async def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        """Return the data key.

        Raises:
            SealBroken: KMS did not wrap it with this key for `bound`.
            StoreUnavailable: KMS does not answer or refuses.
        """
        known = self._unwrapped.get((wrapped, bound))
        if known is not None:
            return known
        answer = await self._call("decrypt", bound, CiphertextBlob=wrapped)
        data_key: bytes = answer["Plaintext"]
        self._remember(wrapped, bound, data_key)
        return data_key

    async def _call(self, operation: str, bound: bytes, **parameters: bytes) -> dict[str, Any]:
        # The version byte is part of the place, and the context is text.
        context = {"modelplane": f"{bound[0]}/{bound[1:].decode()}"}
        try:
            async with self._calls:
                answer: dict[str, Any] = await getattr(self._client, operation)(
                    KeyId=self._arn, EncryptionContext=context, **parameters
                )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("InvalidCiphertextException", "IncorrectKeyException"):
                raise SealBroken(code) from None
            raise StoreUnavailable(f"AWS KMS refuses the master key: {code}.") from error
        except (BotoCoreError, OSError) as error:
            raise StoreUnavailable("AWS KMS does not answer; please retry.") from error
        return answer

    def _remember(self, wrapped: bytes, bound: bytes, data_key: bytes) -> None:
        self._unwrapped[wrapped, bound] = data_key
        if len(self._unwrapped) > _MAX_REMEMBERED:
            self._unwrapped.popitem(last=False)


@asynccontextmanager
async def opened_kms(arn: str) -> AsyncIterator[KmsKey]:
    """Yield the master key `arn`.

    Raises:
        ValueError: It is no ARN of a key in KMS.
    """
    parts = arn.split(":")
    if parts[:1] != ["arn"] or parts[2:3] != ["kms"] or len(parts) != 6 or len(arn) > _MAX_ARN:  # noqa: PLR2004 - an ARN has six parts
        raise ValueError(f"MODELPLANE_MASTER_KEY_KMS must hold ARNs of KMS keys, not '{arn}'.")
    session = aioboto3.Session()
    async with session.client("kms", region_name=parts[3], config=_CONFIG) as client:
        yield KmsKey(arn, client)
