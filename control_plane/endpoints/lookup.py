"""Find an endpoint by name or identifier, to read it or to change it.

Before: `lifecycle`, `setting_changes`, `config_history`, `permissions`. After: `access`,
`store.endpoints.records`.
"""

import re

from modelplane.adapters.registries.foundation_model import NAME_PREFIX
from modelplane.control_plane.access import endpoint_not_found, level_of, require_level
from modelplane.control_plane.errors import InvalidParameter, NotFound
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database, Session, Transaction
from modelplane.control_plane.store.endpoints import records
from modelplane.control_plane.store.endpoints.records import StoredEndpoint

# As `lifecycle` makes them.
_ID = re.compile(r"[0-9a-f]{32}")


async def read_endpoint(
    database: Database, principal: Principal, name: str, needed: Level = Level.CAN_VIEW
) -> StoredEndpoint:
    """Return the endpoint called `name`.

    Raises:
        NotFound: There is none that the principal may see.
        PermissionDenied: It may see it, but has a lower level than needed.
    """
    async with database.read() as session:
        return await find_endpoint(session, principal, name, needed)


async def read_changeable(database: Database, principal: Principal, name: str) -> StoredEndpoint:
    """Return the endpoint called `name`, as `lock_endpoint` does, but for reading alone.

    Raises:
        NotFound: There is none that the principal may see.
        InvalidParameter: It is of the catalogue of foundation models.
        PermissionDenied: The principal may not change it.
    """
    record = await read_endpoint(database, principal, name)
    require_own(record)
    require_level(principal, name, record.grants, Level.CAN_MANAGE)
    return record


async def list_foundation(database: Database, principal: Principal) -> list[StoredEndpoint]:
    """Return the endpoints of the catalogue of foundation models, ordered by name."""
    async with database.read() as session:
        names = await records.read_names(session, NAME_PREFIX)
        found = [await records.find(session, name) for name in names]
    return [one for one in found if one and level_of(principal, one.grants) > Level.NONE]


async def find_endpoint(
    session: Session, principal: Principal, name: str, needed: Level = Level.CAN_VIEW
) -> StoredEndpoint:
    """Return the endpoint called `name`.

    Raises:
        NotFound: There is none that the principal may see.
        PermissionDenied: It may see it, but has a lower level than needed.
    """
    record = await records.find(session, name)
    if record is None:
        raise endpoint_not_found(name)
    require_level(principal, name, record.grants, needed)
    return record


async def lock_endpoint(
    transaction: Transaction, principal: Principal, name: str, *, setting: bool = False
) -> StoredEndpoint:
    """Return the endpoint called `name`, which nobody else changes until the transaction ends.

    Args:
        transaction: Where to lock it.
        principal: Who asks.
        name: Its name.
        setting: Whether only such settings are to change as endpoints of the catalogue have, too.

    Raises:
        NotFound: There is none that the principal may see.
        InvalidParameter: It is of the catalogue of foundation models.
        PermissionDenied: The principal may not change it.
    """
    await records.lock(transaction.session, name)
    record = await find_endpoint(transaction.session, principal, name)
    if not setting:
        require_own(record)
    require_level(principal, name, record.grants, Level.CAN_MANAGE)
    return record


def require_own(record: StoredEndpoint) -> None:
    """Check that an endpoint is one that its users have made, and not of the catalogue.

    Raises:
        InvalidParameter: It is of the catalogue, for nobody to change.
    """
    if record.is_foundation:
        raise InvalidParameter(
            f"Endpoint '{record.name}' serves a foundation model of this deployment: its AI "
            "Gateway settings and rate limits can be changed, all else is set by the operator's "
            "catalogue (MODELPLANE_FOUNDATION_MODELS). Create an endpoint of your own instead."
        )


async def find_object(
    session: Session, principal: Principal, endpoint_id: str, needed: Level = Level.CAN_VIEW
) -> StoredEndpoint:
    """Return the endpoint with an identifier, or the one of that name.

    What has the form of an identifier is no name: when an endpoint is deleted, another must not
    come in its place for those who still have its identifier.

    Raises:
        NotFound: There is none that the principal may see.
        InvalidParameter: It is of the catalogue of foundation models, which are no objects.
        PermissionDenied: It may see it, but has a lower level than needed.
    """
    find = records.find_by_id if _is_id(endpoint_id) else records.find
    record = await find(session, endpoint_id)
    # The error of `require_level` names the endpoint, which is not for those who may not see it.
    if record is None or level_of(principal, record.grants) is Level.NONE:
        raise NotFound(f"Endpoint with id '{endpoint_id[:100]}' does not exist.")
    require_own(record)
    require_level(principal, record.name, record.grants, needed)
    return record


async def lock_object(
    transaction: Transaction, principal: Principal, endpoint_id: str
) -> StoredEndpoint:
    """Return what `find_object` does; nobody else changes it until the transaction ends.

    Raises:
        NotFound: There is none that the principal may see.
        PermissionDenied: The principal may not change it.
    """
    lock = records.lock_by_id if _is_id(endpoint_id) else records.lock
    await lock(transaction.session, endpoint_id)
    return await find_object(transaction.session, principal, endpoint_id, Level.CAN_MANAGE)


def _is_id(text: str) -> bool:
    return bool(_ID.fullmatch(text))
