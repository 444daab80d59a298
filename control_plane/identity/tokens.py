"""Use cases for access tokens: their owners' own, and those that administrators look after.

Before: `token_servicer`. After: `access`, `store.identity.tokens`.
"""

import secrets
import uuid
from dataclasses import dataclass, field

from modelplane.adapters.shared.rpc.authorization import digest
from modelplane.control_plane.access import require_admin
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import InvalidParameter, NotFound, QuotaExceeded
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.store.database import Database, is_storable
from modelplane.control_plane.store.identity.principals import find_principal, load_principals
from modelplane.control_plane.store.identity.tokens import (
    ADMIN_TOKEN_ID,
    StoredToken,
    find_expired,
    insert_token,
    list_tokens,
    load_tokens,
    remove_expired,
    remove_token,
)

MAX_TOKENS = 600
MAX_COMMENT = 1024
MAX_LIFETIME_SECONDS = 100 * 365 * 86_400

_PREFIX = "dapi"
_RANDOM_BYTES = 16


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a caller asks for.

    Attributes:
        comment: What the token is for.
        lifetime_seconds: Seconds until it expires; None: never.
    """

    comment: str
    lifetime_seconds: int | None


@dataclass(frozen=True, slots=True)
class OwnedToken:
    """A token and the name of its owner."""

    token: StoredToken
    owner: str


@dataclass(frozen=True, slots=True)
class CreatedToken:
    """A new token, shown once.

    Attributes:
        value: The token itself.
        owned: What is known of it.
    """

    value: str = field(repr=False)
    owned: OwnedToken


class Tokens:
    """Creates, lists and revokes access tokens."""

    def __init__(self, database: Database, rollout: Rollout, clock: Clock) -> None:
        self._database = database
        self._rollout = rollout
        self._clock = clock

    async def create(self, caller: Principal, wanted: NewToken) -> CreatedToken:
        """Create a token of the caller.

        Raises:
            InvalidParameter: The comment or the lifetime is out of bounds.
            QuotaExceeded: The caller has too many tokens.
        """
        return await self._create(caller.id, caller.name, wanted)

    async def create_on_behalf(
        self, caller: Principal, name: str, wanted: NewToken
    ) -> CreatedToken:
        """Create a token of the principal called `name`.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such principal.
            InvalidParameter: The comment or the lifetime is out of bounds.
            QuotaExceeded: That principal has too many tokens.
        """
        require_admin(caller)
        async with self._database.read() as session:
            owner = await find_principal(session, name)
        if owner is None:
            raise NotFound(
                f"There is no service principal with the application id '{name[:100]}', and no "
                "user of that name."
            )
        return await self._create(owner.id, owner.name, wanted)

    async def list_own(self, caller: Principal) -> list[StoredToken]:
        """Return the tokens of the caller, oldest first."""
        await self._prune()
        async with self._database.read() as session:
            return await list_tokens(session, caller.id)

    async def list_all(
        self, caller: Principal, *, owner_id: str | None, owner: str | None
    ) -> list[OwnedToken]:
        """Return the tokens of all, or of one principal, oldest first.

        Raises:
            PermissionDenied: The caller is no administrator.
        """
        require_admin(caller)
        await self._prune()
        async with self._database.read() as session:
            tokens = await list_tokens(session, owner_id)
            owners = await load_principals(session, {token.principal_id for token in tokens})
        names = {item.id: item.name for item in owners}
        owned = [OwnedToken(token, names.get(token.principal_id, "")) for token in tokens]
        return [item for item in owned if owner in (None, item.owner)]

    async def get(self, caller: Principal, token_id: str) -> OwnedToken:
        """Return any token.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such token.
        """
        require_admin(caller)
        async with self._database.read() as session:
            tokens = await load_tokens(session, [token_id] if is_storable(token_id) else [])
            owners = await load_principals(session, [token.principal_id for token in tokens])
        if not tokens or tokens[0].parent_id is not None or self._has_expired(tokens[0]):
            raise _not_found(token_id)
        return OwnedToken(tokens[0], owners[0].name if owners else "")

    async def delete_own(self, caller: Principal, token_id: str) -> None:
        """Revoke a token of the caller.

        Raises:
            NotFound: The caller has no such token.
            InvalidParameter: It is the deployment's own admin token.
        """
        await self._delete(token_id, caller.id)

    async def delete_any(self, caller: Principal, token_id: str) -> None:
        """Revoke any token.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such token.
            InvalidParameter: It is the deployment's own admin token.
        """
        require_admin(caller)
        await self._delete(token_id, None)

    async def _create(self, owner_id: str, owner: str, wanted: NewToken) -> CreatedToken:
        _check(wanted)
        value = _PREFIX + secrets.token_hex(_RANDOM_BYTES)
        now_ms = self._clock()
        seconds = wanted.lifetime_seconds
        token = StoredToken(
            id=uuid.uuid4().hex,
            digest=digest(value),
            principal_id=owner_id,
            comment=wanted.comment,
            created_ms=now_ms,
            expiry_ms=None if seconds is None else now_ms + seconds * 1000,
        )
        async with self._database.write() as transaction:
            # So that tokens made at the same time are counted.
            await transaction.hold_revisions()
            if not await load_principals(transaction.session, [owner_id]):
                raise NotFound(f"'{owner}' does not exist any more.")
            await remove_expired(transaction, self._clock())
            if len(await list_tokens(transaction.session, owner_id)) >= MAX_TOKENS:
                raise QuotaExceeded(
                    f"'{owner}' has {MAX_TOKENS} access tokens already; revoke one first."
                )
            revision = await insert_token(transaction, token)
        await self._rollout.wait_applied(revision)
        return CreatedToken(value, OwnedToken(token, owner))

    async def _delete(self, token_id: str, owner_id: str | None) -> None:
        async with self._database.write() as transaction:
            ids = [token_id] if is_storable(token_id) else []
            found = await load_tokens(transaction.session, ids)
            # Sessions are looked after by their owners, and by who can revoke what began them.
            if (
                not found
                or found[0].parent_id is not None
                or owner_id not in (None, found[0].principal_id)
            ):
                raise _not_found(token_id)
            if token_id == ADMIN_TOKEN_ID:
                raise InvalidParameter(
                    "The admin token is the deployment's setting MODELPLANE_ADMIN_TOKEN; change it "
                    "there and restart the control plane."
                )
            revision = await remove_token(transaction, token_id)
        await self._rollout.wait_applied(revision)

    async def _prune(self) -> None:
        """Forget expired tokens, here and in the workers, which refuse them already."""
        async with self._database.read() as session:
            expired = await find_expired(session, self._clock())
        if expired:
            async with self._database.write() as transaction:
                await transaction.hold_revisions()
                await remove_expired(transaction, self._clock())

    def _has_expired(self, token: StoredToken) -> bool:
        return token.expiry_ms is not None and token.expiry_ms <= self._clock()


def _check(wanted: NewToken) -> None:
    if len(wanted.comment) > MAX_COMMENT or not is_storable(wanted.comment):
        raise InvalidParameter(
            f"comment must have at most {MAX_COMMENT} characters, none of them NUL."
        )
    seconds = wanted.lifetime_seconds
    if seconds is not None and not 0 < seconds <= MAX_LIFETIME_SECONDS:
        raise InvalidParameter(
            f"lifetime_seconds is {seconds}; use 1 to {MAX_LIFETIME_SECONDS}, or leave it "
            "out for a token that does not expire."
        )


def _not_found(token_id: str) -> NotFound:
    return NotFound(f"There is no access token with the id '{token_id[:100]}'.")
