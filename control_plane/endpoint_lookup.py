"""Find an endpoint by name, to read it or to change it.

Before: `endpoints`, `endpoint_settings`, `config_history`. After: `permissions`,
`store.endpoint_store`.
"""

from sqlmodel.ext.asyncio.session import AsyncSession

from control_plane.authentication import Principal
from control_plane.errors import NotFound
from control_plane.permissions import require_manage
from control_plane.store import endpoint_store
from control_plane.store.database import Database, Transaction
from control_plane.store.endpoint_store import EndpointRecord


async def read_endpoint(database: Database, name: str) -> EndpointRecord:
    """Return the endpoint called `name`.

    Raises:
        NotFound: There is none.
    """
    async with database.read() as session:
        return await find_endpoint(session, name)


async def find_endpoint(session: AsyncSession, name: str) -> EndpointRecord:
    """Return the endpoint called `name`.

    Raises:
        NotFound: There is none.
    """
    record = await endpoint_store.find(session, name)
    if record is None:
        raise NotFound(f"Endpoint with name '{name}' does not exist.")
    return record


async def lock_endpoint(
    transaction: Transaction, principal: Principal, name: str
) -> EndpointRecord:
    """Return the endpoint called `name`, which nobody else changes until the transaction ends.

    Raises:
        NotFound: There is none.
        PermissionDenied: The principal may not change it.
    """
    await endpoint_store.lock(transaction.session, name)
    record = await find_endpoint(transaction.session, name)
    require_manage(principal, name, record.creator)
    return record
