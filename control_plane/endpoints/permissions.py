"""Use cases for permissions on endpoints: who may do what, and granting it.

Only those who manage an endpoint read or change its permissions, as they alone need to know who
else uses it. The creator and the administrators always manage it.

Before: `permission_servicer`. After: `lookup`, `store.identity.grantees`,
`store.endpoints.changes`. `access` decides with what is granted here.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from modelplane.control_plane.access import level_of
from modelplane.control_plane.endpoints.lookup import find_object, lock_object
from modelplane.control_plane.errors import InvalidParameter, PermissionDenied
from modelplane.control_plane.principal import ADMINS_ID, Level, Principal
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.store.database import Database, Session, Transaction
from modelplane.control_plane.store.endpoints import changes
from modelplane.control_plane.store.endpoints.lists import manages_any
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.identity.grantees import (
    Grantee,
    GranteeKind,
    find_grantees,
    load_grantees,
    search_grantees,
)

# What an endpoint's grants take up in every worker, and in each push of the endpoint, is bounded.
MAX_GRANTS = 1_000
# Names that one error lists.
_MAX_NAMED = 5

# Kinds in the order in which permissions are listed, each with what callers call it.
WORDS: Mapping[GranteeKind, str] = {
    GranteeKind.USER: "user",
    GranteeKind.SERVICE_PRINCIPAL: "service principal",
    GranteeKind.GROUP: "group",
}


@dataclass(frozen=True, slots=True)
class GrantInput:
    """A level asked for a grantee, which is known by kind and name."""

    kind: GranteeKind
    name: str
    level: Level


@dataclass(frozen=True, slots=True)
class Access:
    """What a grantee may do with an endpoint: by a grant, and by what it is."""

    grantee: Grantee
    granted: Level
    inherited: Level


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who may do what with an endpoint, ordered by kind and name."""

    endpoint_id: str
    access: Sequence[Access]


class EndpointPermissions:
    """Reads and changes who may do what with endpoints, which are known by identifier or name."""

    def __init__(self, database: Database, rollout: Rollout) -> None:
        self._database = database
        self._rollout = rollout

    async def get(self, principal: Principal, endpoint_id: str) -> Permissions:
        """Return who may do what.

        Raises:
            NotFound: There is no such endpoint.
            PermissionDenied: The principal does not manage it.
        """
        async with self._database.read() as session:
            record = await find_object(session, principal, endpoint_id, Level.CAN_MANAGE)
            return Permissions(record.id, await _list_access(session, record.grants))

    async def check_visible(self, principal: Principal, endpoint_id: str) -> None:
        """Check that the principal may see the endpoint.

        Raises:
            NotFound: There is no such endpoint.
        """
        async with self._database.read() as session:
            await find_object(session, principal, endpoint_id)

    async def find_grantees(self, principal: Principal, search: str, most: int) -> list[Grantee]:
        """Return the first by name to whom something can be granted, whose names have a text.

        Raises:
            PermissionDenied: The principal manages no endpoint.
        """
        async with self._database.read() as session:
            grantees = {principal.id, *principal.group_ids}
            if not (principal.admin or await manages_any(session, grantees)):
                raise PermissionDenied(
                    f"'{principal.name}' manages no endpoint on which anything could be granted; "
                    "ask one who does."
                )
            return await search_grantees(session, search, most)

    async def replace(
        self, principal: Principal, endpoint_id: str, given: Sequence[GrantInput]
    ) -> Permissions:
        """Replace all grants but the creator's, and return who may do what.

        Raises:
            NotFound: There is no such endpoint.
            PermissionDenied: The principal does not manage it.
            InvalidParameter: A grantee is unknown or named twice, there are too many, or the
                principal would no longer manage the endpoint.
        """
        return await self._change(principal, endpoint_id, given, keep=False)

    async def merge(
        self, principal: Principal, endpoint_id: str, given: Sequence[GrantInput]
    ) -> Permissions:
        """Grant levels beside those of other grantees, and return who may do what.

        Raises:
            NotFound: There is no such endpoint.
            PermissionDenied: The principal does not manage it.
            InvalidParameter: A grantee is unknown or named twice, there are too many, or the
                principal would no longer manage the endpoint.
        """
        return await self._change(principal, endpoint_id, given, keep=True)

    async def _change(
        self, principal: Principal, endpoint_id: str, given: Sequence[GrantInput], *, keep: bool
    ) -> Permissions:
        async with self._database.write() as transaction:
            record = await lock_object(transaction, principal, endpoint_id)
            base = await _existing(transaction.session, record.grants) if keep else {}
            new = await _resolve(transaction, given)
            _check_creator(record, new)
            grants = {**base, **new, record.creator_id: Level.CAN_MANAGE}
            _check_count(len(grants))
            _check_caller(principal, grants)
            revision = await changes.set_grants(transaction, record.id, grants)
            access = await _list_access(transaction.session, grants)
        await self._rollout.wait_applied(revision)
        return Permissions(record.id, access)


async def _existing(session: Session, grants: Mapping[str, Level]) -> dict[str, Level]:
    # Those that are gone would fill the list up over the years.
    return {grantee.id: grants[grantee.id] for grantee in await load_grantees(session, grants)}


async def _resolve(transaction: Transaction, given: Sequence[GrantInput]) -> dict[str, Level]:
    _check_count(len(given))
    names = [(item.kind, item.name) for item in given]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidParameter(f"Named more than once: {_list_names(twice)}; name each once.")
    found = {
        (grantee.kind, grantee.name): grantee.id
        for grantee in await find_grantees(transaction.session, {item.name for item in given})
    }
    if unknown := [name for name in names if name not in found]:
        raise InvalidParameter(
            f"There is no {_list_names(unknown)}; create what is missing, or correct the name."
        )
    return {found[item.kind, item.name]: item.level for item in given}


def _check_count(count: int) -> None:
    if count > MAX_GRANTS:
        raise InvalidParameter(
            f"The access control list would have {count} entries; at most {MAX_GRANTS} are "
            "allowed. Grant to a group instead."
        )


def _check_creator(record: StoredEndpoint, new: Mapping[str, Level]) -> None:
    if new.get(record.creator_id, Level.CAN_MANAGE) < Level.CAN_MANAGE:
        raise InvalidParameter(
            f"'{record.creator}' has created the endpoint and keeps CAN_MANAGE; leave this entry "
            "out."
        )


def _check_caller(principal: Principal, grants: Mapping[str, Level]) -> None:
    if level_of(principal, grants) < Level.CAN_MANAGE:
        raise InvalidParameter(
            f"You, '{principal.name}', would no longer manage the endpoint; keep CAN_MANAGE for "
            "yourself, or let another who manages it make this change."
        )


def _list_names(names: Collection[tuple[GranteeKind, str]]) -> str:
    shown = [f"{WORDS[kind]} '{name[:200]}'" for kind, name in sorted(names)[:_MAX_NAMED]]
    rest = len(names) - len(shown)
    return ", ".join([*shown, *([f"and {rest} more"] if rest else [])])


async def _list_access(session: Session, grants: Mapping[str, Level]) -> list[Access]:
    order = list(WORDS)
    return [
        Access(
            grantee,
            granted=grants.get(grantee.id, Level.NONE),
            inherited=Level.CAN_MANAGE if grantee.id == ADMINS_ID else Level.NONE,
        )
        for grantee in sorted(
            await load_grantees(session, {*grants, ADMINS_ID}),
            key=lambda item: (order.index(item.kind), item.name),
        )
    ]
