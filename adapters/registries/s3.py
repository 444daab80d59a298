"""Models in S3, or in a store that speaks as it does.

They are read with a credential of one model's alone, or, where they are weights of the operator's
catalogue, with the machine's.

The region and the address are those that every AWS client finds by itself (`AWS_DEFAULT_REGION`,
`AWS_ENDPOINT_URL_S3`). Before: `unity_catalog` and `weights`, which import this when it is
needed.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from modelplane.adapters.registries.base import (
    MAX_FILES,
    MAX_MLMODEL_BYTES,
    MLMODEL,
    ModelUnusable,
    Progress,
    RegistryUnavailable,
    long_mlmodel,
    plain_name,
    without_mlmodel,
)
from modelplane.adapters.registries.calls import AWAY

T = TypeVar("T")

_CONFIG = Config(
    connect_timeout=10, read_timeout=60, retries={"mode": "standard", "max_attempts": 3}
)
# The client needs one to begin with; it follows the bucket to its own.
_REGION = "us-east-1"
_PIECE = 256 * 1024
_MISSING = ("NoSuchKey", "404")


@dataclass(frozen=True, slots=True)
class _File:
    key: str
    path: str
    size: int


class S3Folder:
    """The folder of one model.

    Args:
        location: Its address, `s3://BUCKET/PREFIX`.
        credential: `access_key_id`, `secret_access_key` and `session_token`; empty: the one that
            AWS's clients find by themselves.
    """

    def __init__(self, location: str, credential: Mapping[str, str]) -> None:
        parts = urlsplit(location)
        self._bucket = parts.netloc
        path = unquote(parts.path).strip("/")
        self._prefix = f"{path}/" if path else ""
        self._credential = credential

    async def read_mlmodel(self) -> bytes:
        """Return the `MLmodel` file; see `Registry`."""
        return await _in_thread(self._read_mlmodel)

    async def download(
        self, into: Path, progress: Progress, *, suffix: str | tuple[str, ...] = ""
    ) -> None:
        """Fetch all files whose names end so; see `Registry`."""
        loop, given_up = asyncio.get_running_loop(), threading.Event()

        def tell(done: int, total: int) -> None:
            if given_up.is_set():
                raise RegistryUnavailable("The files are no longer wanted.")
            loop.call_soon_threadsafe(progress, done, total)

        try:
            await _in_thread(lambda: self._download(into, tell, suffix))
        finally:
            given_up.set()

    async def _read_mlmodel(self) -> bytes:
        content = b""
        async with self._opened() as client:
            found = await client.get_object(Bucket=self._bucket, Key=self._prefix + MLMODEL)
            async with found["Body"]:
                async for piece in found["Body"].iter_chunks(_PIECE):
                    content += piece
                    if len(content) > MAX_MLMODEL_BYTES:
                        raise long_mlmodel()
        return content

    async def _download(self, into: Path, tell: Progress, suffix: str | tuple[str, ...]) -> None:
        done = 0
        async with self._opened() as client:
            files = [file for file in await self._list(client) if file.path.endswith(suffix)]
            total = sum(file.size for file in files)
            for file in files:
                target = into / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                found = await client.get_object(Bucket=self._bucket, Key=file.key)
                async with found["Body"]:
                    with target.open("wb") as opened:
                        async for piece in found["Body"].iter_chunks(_PIECE):
                            opened.write(piece)
                            done += len(piece)
                            tell(done, total)

    async def _list(self, client: Any) -> list[_File]:  # noqa: ANN401 - built at run time by AWS
        files: list[_File] = []
        pages = client.get_paginator("list_objects_v2")
        async for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
            for item in page.get("Contents", ()):
                path = item["Key"].removeprefix(self._prefix)
                # What consoles write to show a folder.
                if path.endswith("/") or not path:
                    continue
                parts = [plain_name(part) for part in path.split("/")]
                files.append(_File(item["Key"], "/".join(parts), item["Size"]))
                if len(files) > MAX_FILES:
                    raise ModelUnusable(f"It has more than {MAX_FILES} files.")
        return files

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[Any]:
        session = aioboto3.Session(
            aws_access_key_id=self._credential.get("access_key_id"),
            aws_secret_access_key=self._credential.get("secret_access_key"),
            aws_session_token=self._credential.get("session_token"),
        )
        region = session.region_name or _REGION
        try:
            async with session.client("s3", region_name=region, config=_CONFIG) as client:
                yield client
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "refused"))
            if code in _MISSING:
                raise without_mlmodel() from None
            raise RegistryUnavailable(
                f"S3 refuses to give the model's files ({code}); let the operator check the bucket "
                "and its credential in the model registry."
            ) from error
        except (BotoCoreError, *AWAY) as error:
            raise RegistryUnavailable(
                f"The model's files cannot be fetched from S3 ({type(error).__name__}); try again "
                "later."
            ) from error


async def _in_thread(operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    # Whenever it is built, AWS's client reads its models from disk: in a thread, with a loop of its
    # own, that holds up nothing else.
    return await asyncio.to_thread(lambda: asyncio.run(operation()))
