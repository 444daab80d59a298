"""Use cases for users and service principals.

Before: `scim_servicer`. After: `access`, `store.identity.principals`. Beside: `groups`.
"""

import re
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import replace

from modelplane.control_plane.access import require_admin
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.errors import InvalidParameter, NotFound
from modelplane.control_plane.identity.scim import PrincipalState
from modelplane.control_plane.principal import USERS, USERS_ID, Principal, PrincipalKind
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.store.database import Database, Session, is_storable
from modelplane.control_plane.store.identity.principals import (
    Page,
    StoredPrincipal,
    insert_principal,
    list_principals,
    load_principals,
    new_id,
    remove_principal,
    update_principal,
)

MAX_NAME = 256

_WORDS = {PrincipalKind.USER: "user", PrincipalKind.SERVICE_PRINCIPAL: "service principal"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Identities:
    """Creates, reads, changes and deletes users and service principals."""

    def __init__(
        self, database: Database, rollout: Rollout, clock: Clock, *, admin_user: str
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where principals are stored.
            rollout: Tells when the workers have followed.
            clock: The time.
            admin_user: The deployment's own administrator, who cannot be shut out.
        """
        self._database = database
        self._rollout = rollout
        self._clock = clock
        self._admin_user = admin_user

    async def me(self, caller: Principal) -> StoredPrincipal:
        """Return the caller.

        Raises:
            NotFound: It was deleted a moment ago.
        """
        async with self._database.read() as session:
            return await _find(session, caller.kind, caller.id)

    async def get(
        self, caller: Principal, kind: PrincipalKind, principal_id: str
    ) -> StoredPrincipal:
        """Return a principal.

        Raises:
            PermissionDenied: The caller is neither an administrator nor that principal.
            NotFound: There is no such principal.
        """
        if caller.id != principal_id:
            require_admin(caller)
        async with self._database.read() as session:
            return await _find(session, kind, principal_id)

    async def list(
        self, caller: Principal, kind: PrincipalKind, page: Page
    ) -> tuple[list[StoredPrincipal], int]:
        """Return the principals of a page, and the number without regard to paging.

        Raises:
            PermissionDenied: The caller is no administrator.
        """
        require_admin(caller)
        async with self._database.read() as session:
            return await list_principals(session, kind, page)

    async def create(
        self, caller: Principal, kind: PrincipalKind, name: str, display_name: str, *, active: bool
    ) -> StoredPrincipal:
        """Create a principal; a service principal may be given without a name.

        Raises:
            PermissionDenied: The caller is no administrator.
            InvalidParameter: A name is malformed.
            AlreadyExists: The name is taken.
        """
        require_admin(caller)
        if kind is PrincipalKind.USER:
            check_name("userName", name)
        else:
            name = _application_id(name)
        check_name("displayName", display_name or name)
        new = StoredPrincipal(
            id=new_id(),
            kind=kind,
            name=name,
            display_name=display_name or name,
            active=active,
            created_ms=self._clock(),
            tokens_valid_from_ms=0,
            groups={USERS_ID: USERS},
        )
        async with self._database.write() as transaction:
            # Changes of identities take turns, so that what one has checked holds when it commits.
            await transaction.hold_revisions()
            revision = await insert_principal(transaction, new)
        await self._rollout.wait_applied(revision)
        return new

    async def change(
        self,
        caller: Principal,
        kind: PrincipalKind,
        principal_id: str,
        change: Callable[[PrincipalState], PrincipalState],
    ) -> StoredPrincipal:
        """Change a principal; return it as it then is.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such principal.
            InvalidParameter: `change` refuses, or the change is not possible.
        """
        require_admin(caller)
        async with self._database.write() as transaction:
            await transaction.hold_revisions()
            old = await _find(transaction.session, kind, principal_id)
            new = change(PrincipalState(old.id, old.name, old.display_name, old.active))
            check_name("displayName", new.display_name)
            changed = replace(old, display_name=new.display_name, active=new.active)
            if old.active and not new.active:
                self._check_removable(old, "deactivated")
                # Else the JWTs that it holds would be good again if it came back.
                changed = changed.void_tokens(self._clock())
            if changed == old:
                return old
            revision = await update_principal(transaction, changed)
        await self._rollout.wait_applied(revision)
        return changed

    async def delete(self, caller: Principal, kind: PrincipalKind, principal_id: str) -> None:
        """Delete a principal with its tokens.

        Raises:
            PermissionDenied: The caller is no administrator.
            NotFound: There is no such principal.
            InvalidParameter: It is the deployment's own administrator.
        """
        require_admin(caller)
        async with self._database.write() as transaction:
            await transaction.hold_revisions()
            found = await _find(transaction.session, kind, principal_id)
            self._check_removable(found, "deleted")
            revision = await remove_principal(transaction, principal_id)
        await self._rollout.wait_applied(revision)

    def _check_removable(self, principal: StoredPrincipal, done: str) -> None:
        if principal.name == self._admin_user:
            raise InvalidParameter(
                f"'{principal.name}' is the deployment's own administrator (MODELPLANE_ADMIN_USER) "
                f"and cannot be {done}."
            )


def check_name(field: str, name: str) -> None:
    """Check that `name` can be shown and stored.

    Raises:
        InvalidParameter: It cannot.
    """
    if not name:
        raise InvalidParameter(f"{field} is missing; give it.")
    controls = any(unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") for letter in name)
    if len(name) > MAX_NAME or name != name.strip() or controls:
        raise InvalidParameter(
            f"{field} must have at most {MAX_NAME} characters, none of them a control character, "
            "and no space at either end."
        )


def _application_id(given: str) -> str:
    if given and not _UUID.fullmatch(given.lower()):
        raise InvalidParameter("applicationId must be a UUID; leave it out to get a new one.")
    return given.lower() or str(uuid.uuid4())


async def _find(session: Session, kind: PrincipalKind, principal_id: str) -> StoredPrincipal:
    found = await load_principals(session, [principal_id] if is_storable(principal_id) else [])
    if not found or found[0].kind is not kind:
        raise NotFound(f"There is no {_WORDS[kind]} with the id '{principal_id[:100]}'.")
    return found[0]
