"""Short-lived credentials: fetched once for any number of waiting calls, and ahead of expiry.

A provider's adapter names a `CredentialSource`; `data_plane/upstreams/upstream.py` asks the cache.
Entities with the same source share its credential.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Protocol

from modelplane.adapters.providers.errors import (
    AdapterError,
    CredentialUnavailable,
    MalformedAnswer,
)
from modelplane.adapters.shared.telemetry import log_fields

if TYPE_CHECKING:
    from modelplane.adapters.providers.http.transport import HttpTransport

_log = logging.getLogger(__name__)

# A credential is replaced in the background this long before it expires.
_AHEAD_SECONDS = 300.0
# One that lives shorter than that is replaced when this share of its life is left.
_AHEAD_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential for a limited time.

    Attributes:
        values: A token; or key id, secret key and session token; as the adapter understands it.
        expires_at: Seconds since the epoch.
    """

    values: tuple[str, ...] = field(repr=False)
    expires_at: float


# For adapters whose requests carry what they need, or that sign with a lasting key.
NO_CREDENTIAL = Credential((), inf)


class CredentialSource(Protocol):
    """Gets credentials of one kind for one account."""

    @property
    def key(self) -> str:
        """Identifies kind, account and secret; no secret itself, so a digest of it."""

    async def fetch(self, transport: "HttpTransport", now: float) -> Credential:
        """Return a new credential.

        Args:
            transport: Sends the request for it.
            now: Seconds since the epoch.

        Raises:
            AdapterError: None could be had.
        """


@dataclass(slots=True)
class _Entry:
    credential: Credential | None = None
    fetched_at: float = 0.0
    fetching: asyncio.Task[Credential] | None = None


class CredentialCache:
    """Keeps the newest credential of each source."""

    def __init__(self, transport: "HttpTransport", wall_seconds: Callable[[], float]) -> None:
        """Fetch over `transport`.

        Args:
            transport: Sends the requests for credentials.
            wall_seconds: Wall time, seconds since the epoch.
        """
        self._transport = transport
        self._wall_seconds = wall_seconds
        self._entries: dict[str, _Entry] = {}

    async def get(self, source: CredentialSource) -> Credential:
        """Return a credential that is in force.

        Raises:
            AdapterError: None is, and none could be had.
        """
        entry = self._entries.setdefault(source.key, _Entry())
        now = self._wall_seconds()
        credential = entry.credential
        if credential is None or now >= credential.expires_at:
            # Shielded: the caller who came first may leave while others wait.
            return await asyncio.shield(self._fetching(source, entry))
        # With a clock that was set back, it would seem to be good for longer than it is.
        if now >= credential.expires_at - _ahead(credential, entry) or now < entry.fetched_at:
            self._fetching(source, entry)
        return credential

    def holds(self, source: CredentialSource, credential: Credential) -> bool:
        """Return whether a credential is what it gives out; False: another call has replaced it."""
        entry = self._entries.get(source.key)
        return entry is not None and entry.credential is credential

    def forget(self, source: CredentialSource, credential: Credential) -> None:
        """Drop a credential that the provider refused, unless it was replaced meanwhile."""
        if self.holds(source, credential):
            self._entries[source.key].credential = None

    async def aclose(self) -> None:
        """End what is being fetched."""
        tasks = [entry.fetching for entry in self._entries.values() if entry.fetching]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _fetching(self, source: CredentialSource, entry: _Entry) -> "asyncio.Task[Credential]":
        if entry.fetching is None:
            entry.fetching = asyncio.create_task(self._fetch(source, entry))
            entry.fetching.add_done_callback(_note_failure)
        return entry.fetching

    async def _fetch(self, source: CredentialSource, entry: _Entry) -> Credential:
        try:
            now = self._wall_seconds()
            entry.credential = await source.fetch(self._transport, now)
            entry.fetched_at = now
        except AdapterError as error:
            # Whoever gives credentials out is not the provider, and answers none of its requests.
            if error.outage or isinstance(error, MalformedAnswer):
                detail = error.detail
                raise CredentialUnavailable(error.provider, detail, error.retry_after) from error
            raise
        else:
            return entry.credential
        finally:
            entry.fetching = None


def _ahead(credential: Credential, entry: _Entry) -> float:
    life = credential.expires_at - entry.fetched_at
    return min(_AHEAD_SECONDS, _AHEAD_SHARE * life)


def _note_failure(task: "asyncio.Task[Credential]") -> None:
    # Whoever waits gets the error; a refresh ahead of expiry has nobody waiting.
    error = None if task.cancelled() else task.exception()
    if isinstance(error, AdapterError):
        _log.warning("no new credential", extra=log_fields(reason=str(error)))
