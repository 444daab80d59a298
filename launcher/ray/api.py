"""Calls of Ray's REST API for jobs, with the cluster's token.

Used by `cluster.py`. The API is https://docs.ray.io/en/latest/cluster/running-applications/
job-submission/api.html, as Ray 2.60 has it (ray/dashboard/modules/job/job_head.py); the token's
header is of https://docs.ray.io/en/latest/ray-security/token-auth.html. The token is read for each
call: it may be replaced.
"""

from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import orjson

from modelplane.launcher.cluster.cluster import ClusterAway

Document: TypeAlias = dict[str, Any]

_TIMEOUT = aiohttp.ClientTimeout(total=15)
# Far above a list of a few thousand jobs.
_MOST_BYTES = 64 * 1024 * 1024
_MOST_MESSAGE = 500
_ERROR = 400
_JOBS = "/api/jobs/"
# The head passes a job on to an agent, and what that refuses comes back as a failure of its own.
_AGENT_REFUSES = f"Request failed with status code {HTTPStatus.BAD_REQUEST:d}"


class Refused(ClusterAway):
    """Ray answers with an error.

    Attributes:
        status: Of HTTP; of the agent's answer, where that is passed on.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """The REST API of one cluster.

    Args:
        server: Its URL.
        token: File of the cluster's token.
    """

    def __init__(self, server: str, token: Path) -> None:
        self._server = server.rstrip("/")
        self._file = token
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close what is open."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def token(self) -> str:
        """Return the token that the file has now.

        Raises:
            OSError: It cannot be read.
            ValueError: There is none in it.
        """
        found = self._file.read_text().strip()
        if not found:
            raise ValueError(f"{self._file} holds no token.")
        return found

    async def check_closed(self) -> None:
        """Make sure that the cluster does not obey whoever reaches it.

        Raises:
            ClusterAway: It answers without a token, or does not answer.
        """
        try:
            await self._send("GET", _JOBS, headers={})
        except Refused as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                return
            raise
        raise ClusterAway(
            "Ray does what it is asked without a token: whoever reaches it could read the models' "
            "tokens. Start the cluster with RAY_AUTH_MODE=token."
        )

    async def jobs(self) -> list[Document]:
        """Return all jobs of the cluster.

        Raises:
            Refused: Ray says why not.
            ClusterAway: It does not answer.
        """
        found = _parse(await self._send("GET", _JOBS))
        if not isinstance(found, list):
            raise ClusterAway("Ray answers with no list of jobs.")
        return [one for one in found if isinstance(one, dict)]

    async def submit(self, job: Document) -> None:
        """Start a job; raises as `jobs`."""
        await self._send("POST", _JOBS, job)

    async def stop(self, job: str) -> None:
        """Tell a job to end, if there is one; raises as `jobs`."""
        await self._unless_gone("POST", f"{_JOBS}{job}/stop")

    async def delete(self, job: str) -> None:
        """Forget a job that has ended, if there is one; raises as `jobs`."""
        await self._unless_gone("DELETE", f"{_JOBS}{job}")

    async def _unless_gone(self, method: str, path: str) -> None:
        try:
            await self._send(method, path)
        except Refused as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise

    async def _send(
        self,
        method: str,
        path: str,
        body: Document | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        try:
            if headers is None:
                headers = {"authorization": f"Bearer {self.token()}"}
            async with self._open().request(
                method,
                self._server + path,
                headers=headers,
                json=body,
                timeout=_TIMEOUT,
                allow_redirects=False,
            ) as response:
                found = bytearray()
                async for piece in response.content.iter_any():
                    found += piece
                    if len(found) > _MOST_BYTES:
                        raise ClusterAway("Ray's answer is too large.")
                if response.status >= _ERROR:
                    raise _refused(response.status, found.decode(errors="replace"))
                return bytes(found)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ClusterAway(f"Ray does not answer: {type(error).__name__}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session


def _parse(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ClusterAway("Ray answers with something else than JSON.") from error


def _refused(status: int, text: str) -> Refused:
    """Return what an error means: a text, which may be a stack trace that ends with the reason."""
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and _AGENT_REFUSES in text:
        status = HTTPStatus.BAD_REQUEST
    lines = [line.strip() for line in text.splitlines() if line.strip(" .")]
    return Refused(status, lines[-1][:_MOST_MESSAGE] if lines else f"HTTP status {status}")
