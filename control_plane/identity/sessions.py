"""Use cases for sessions: browsers in which somebody is signed in.

A session is an access token of its own, begun with another one: workers learn of it like of any
token, and it ends with the one that began it. What is special is where it is kept: see
`session_cookie`. Before: `session_servicer`. After: `store.identity.tokens`.
"""

import secrets
import uuid
from dataclasses import dataclass, field

from modelplane.adapters.shared.rpc.authorization import digest
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import InvalidParameter, NotFound
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.identity.tokens import (
    StoredToken,
    find_token,
    insert_token,
    list_sessions,
    remove_expired,
    remove_token,
)

# The oldest ends when a principal begins one more.
MAX_SESSIONS = 20
SESSION_SECONDS = 12 * 3600
MAX_USER_AGENT = 256
# The session that a call is made in.
CURRENT = "current"

_PREFIX = "dapi"
_RANDOM_BYTES = 16


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that has just begun.

    Attributes:
        value: The token, which goes into the cookie and nowhere else.
        stored: What is known of it.
    """

    value: str = field(repr=False)
    stored: StoredToken


class Sessions:
    """Begins, lists and ends sessions."""

    def __init__(self, database: Database, rollout: Rollout, clock: Clock) -> None:
        self._database = database
        self._rollout = rollout
        self._clock = clock

    async def create(self, caller: Principal, token: str, user_agent: str) -> NewSession:
        """Begin a session of the caller.

        It ends when the token does, and after `SESSION_SECONDS` at the latest.

        Args:
            caller: Who signs in.
            token: The access token that the call was made with.
            user_agent: What the browser says that it is.

        Raises:
            InvalidParameter: The token is no access token of this deployment, or is a session.
        """
        return await self._create(caller, token, user_agent)

    async def create_at_issuer(self, caller: Principal, user_agent: str) -> NewSession:
        """Begin a session of a caller whom an outside issuer knows, and who has no access token.

        It ends after `SESSION_SECONDS`.

        Args:
            caller: Who signs in.
            user_agent: What the browser says that it is.
        """
        return await self._create(caller, None, user_agent)

    async def _create(self, caller: Principal, token: str | None, user_agent: str) -> NewSession:
        value = _PREFIX + secrets.token_hex(_RANDOM_BYTES)
        session_id = uuid.uuid4().hex
        async with self._database.write() as transaction:
            # So that sessions made at the same time are counted.
            await transaction.hold_revisions()
            now_ms = self._clock()
            await remove_expired(transaction, now_ms)
            parent_id, parent_expiry_ms = session_id, None
            if token is not None:
                parent = _parent(await find_token(transaction.session, digest(token)))
                parent_id, parent_expiry_ms = parent.id, parent.expiry_ms
            await self._make_room(transaction, caller)
            session = StoredToken(
                id=session_id,
                digest=digest(value),
                principal_id=caller.id,
                comment=_printable(user_agent),
                created_ms=now_ms,
                expiry_ms=_earlier(now_ms + SESSION_SECONDS * 1000, parent_expiry_ms),
                parent_id=parent_id,
            )
            revision = await insert_token(transaction, session)
        await self._rollout.wait_applied(revision)
        return NewSession(value, session)

    async def list_own(self, caller: Principal) -> list[StoredToken]:
        """Return the sessions of the caller that have not ended, oldest first."""
        async with self._database.read() as session:
            found = await list_sessions(session, caller.id)
        now_ms = self._clock()
        return [item for item in found if item.expiry_ms is None or item.expiry_ms > now_ms]

    async def delete_own(self, caller: Principal, session_id: str, token: str) -> bool:
        """End a session of the caller; return whether it is the one that the call was made in.

        Args:
            caller: Whose session it is.
            session_id: Identifier, or `CURRENT`.
            token: The token that the call was made with.

        Raises:
            NotFound: The caller has no such session.
        """
        own = digest(token)
        async with self._database.write() as transaction:
            found = [
                item
                for item in await list_sessions(transaction.session, caller.id)
                if item.id == session_id or (session_id == CURRENT and item.digest == own)
            ]
            if not found:
                raise NotFound(f"You have no session with the id '{session_id[:100]}'.")
            revision = await remove_token(transaction, found[0].id)
        await self._rollout.wait_applied(revision)
        return found[0].digest == own

    async def _make_room(self, transaction: Transaction, caller: Principal) -> None:
        found = await list_sessions(transaction.session, caller.id)
        for session in found[: max(0, len(found) - MAX_SESSIONS + 1)]:
            await remove_token(transaction, session.id)


def _parent(token: StoredToken | None) -> StoredToken:
    if token is None:
        raise InvalidParameter(
            "A session begins with an access token of this deployment, which a token of an issuer "
            "is not. Create one with POST /api/2.0/token/create."
        )
    if token.parent_id is not None:
        raise InvalidParameter("A session begins with an access token, not with another session.")
    return token


def _earlier(first_ms: int, other_ms: int | None) -> int:
    return first_ms if other_ms is None else min(first_ms, other_ms)


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:MAX_USER_AGENT]
