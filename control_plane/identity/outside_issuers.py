"""Outside issuers of JWTs: which the settings name, and their keys, fetched and kept fresh.

The keys are stored, so that a restart and the other replicas have them without the network. Before:
`server`. After: `adapters.shared.oidc`, `store.identity.issuers`.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

import orjson
from modelserving.worker.v1.snapshot_pb2 import IssuerResource, VerificationKey

from modelplane.adapters.shared.oidc import IssuerUnavailable, fetch_keys, is_trustworthy
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import Clock, Signal, wait_for
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.identity.sign_in_methods import KEYS as SIGN_IN_KEYS
from modelplane.control_plane.secrets.signing import SUBJECT
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.identity.issuers import set_issuer_keys, set_outside_issuers

_log = logging.getLogger(__name__)

_REFRESH_MS = 300_000
# An issuer is not asked more often than this, whatever tokens come.
_PAUSE_MS = 30_000
_VARIABLE = "MODELPLANE_OIDC_ISSUERS"
_KEYS = {"issuer", "audiences", "principal_claim", *SIGN_IN_KEYS}


def parse_issuers(text: str) -> list[IssuerResource]:
    """Return the issuers that the setting names, without keys.

    Raises:
        ValueError: The setting is malformed; the message says what to change.
    """
    try:
        listed = orjson.loads(text or "[]")
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{_VARIABLE} must be a JSON list: {error}") from None
    if not isinstance(listed, list):
        raise ValueError(f"{_VARIABLE} must be a JSON list.")  # noqa: TRY004 - of a setting
    found = {item.issuer: item for item in map(_parse_issuer, listed)}
    if len(found) != len(listed):
        raise ValueError(f"{_VARIABLE} names an issuer twice.")
    return list(found.values())


class OutsideIssuers:
    """Keeps the keys of outside issuers fresh."""

    def __init__(
        self,
        database: Database,
        issuers: Sequence[IssuerResource],
        clock: Clock,
        fetch: Callable[[str], Awaitable[Collection[VerificationKey]]] = fetch_keys,
    ) -> None:
        """Look after `issuers`.

        Args:
            database: Where issuers and their keys are stored.
            issuers: Those that the settings name.
            clock: Measures the time between two looks.
            fetch: Gets the keys of an issuer.
        """
        self._database = database
        self._issuers = issuers
        self._clock = clock
        self._fetch = fetch
        self._wanted = Signal()
        # When each issuer is asked next, and when it may be asked at the earliest.
        self._due_ms = {item.issuer: 0 for item in issuers}
        self._pause_ms = dict(self._due_ms)

    async def store(self) -> None:
        """Make the issuers of the settings those that are accepted.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.write() as transaction:
            await transaction.hold_revisions()
            await set_outside_issuers(transaction, self._issuers)

    def want(self, issuer: str) -> None:
        """Ask an issuer again, as soon as it may be asked: it seems to have a new key."""
        if issuer in self._due_ms:
            self._due_ms[issuer] = min(self._due_ms[issuer], self._pause_ms[issuer])
            self._wanted.send()

    async def run(self) -> None:
        """Fetch keys whenever they are due, until cancelled."""
        while self._due_ms:
            wanted = self._wanted.event
            await self.fetch_due()
            wait_ms = min(self._due_ms.values()) - self._clock()
            await wait_for(wanted, max(wait_ms, 1) / 1000)

    async def fetch_due(self) -> None:
        """Fetch the keys of the issuers that are due."""
        now_ms = self._clock()
        for issuer in [name for name, due_ms in self._due_ms.items() if due_ms <= now_ms]:
            self._due_ms[issuer] = now_ms + _REFRESH_MS
            self._pause_ms[issuer] = now_ms + _PAUSE_MS
            await self._refresh(issuer)

    async def _refresh(self, issuer: str) -> None:
        try:
            keys = await self._fetch(issuer)
            async with self._database.write() as transaction:
                changed = await set_issuer_keys(transaction, issuer, keys)
        except (IssuerUnavailable, StoreUnavailable) as error:
            # The keys so far stay in force: an issuer that is away must not lock everyone out.
            self._due_ms[issuer] = self._pause_ms[issuer]
            fields = {"issuer": issuer, "reason": str(error)}
            _log.warning("keys of issuer not fetched", extra=log_fields(**fields))
            return
        if changed:
            found = [key.key_id for key in keys]
            _log.info("keys of issuer changed", extra=log_fields(issuer=issuer, keys=found))


def _parse_issuer(item: object) -> IssuerResource:
    if not isinstance(item, dict) or set(item) - _KEYS:
        raise ValueError(f"{_VARIABLE} must hold objects of {', '.join(sorted(_KEYS))}.")
    issuer, audiences = item.get("issuer"), item.get("audiences")
    claim = item.get("principal_claim", SUBJECT)
    if not isinstance(issuer, str) or not is_trustworthy(issuer):
        raise ValueError(f"{_VARIABLE}: issuer must be an https URL, or one of this machine.")
    if not isinstance(audiences, list) or not audiences or not all(map(_is_text, audiences)):
        raise ValueError(f"{_VARIABLE}: audiences of {issuer} must be a list of texts, not empty.")
    if not _is_text(claim):
        raise ValueError(f"{_VARIABLE}: principal_claim of {issuer} must be a text.")
    return IssuerResource(issuer=issuer, audiences=audiences, principal_claim=claim)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()
