"""Whose a table is, and what its rows are: one endpoint writes each.

Before: `endpoints.payload_tables`. After: `tables`. What was written stays when an endpoint is
deleted, so that its name for the table is given to nobody else but its creator.
"""

from sqlmodel import col, func, select

from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.tables import EndpointRow, PayloadTableRow

# Tables that one endpoint may have had by and by: a name is its for ever.
MOST_OF_ONE = 100


class TooManyTables(Exception):
    """An endpoint has had as many tables as it may."""


async def claim(
    session: Session, location: str, endpoint_id: str, creator_id: str, kind: str = ""
) -> bool:
    """Give a table to an endpoint; return whether it is its now.

    Args:
        session: Reads and writes.
        location: Full name of the table.
        endpoint_id: The endpoint.
        creator_id: Principal that created it.
        kind: What the rows of the table are to be, which it has for ever.

    Raises:
        TooManyTables: It would be its 101st.
    """
    row = await session.get(PayloadTableRow, location, with_for_update=True)
    if row is None:
        mine = col(PayloadTableRow.endpoint_id) == endpoint_id
        count = select(func.count()).select_from(PayloadTableRow).where(mine)
        if (await session.exec(count)).one() >= MOST_OF_ONE:
            raise TooManyTables
        session.add(
            PayloadTableRow(
                location=location, endpoint_id=endpoint_id, creator_id=creator_id, kind=kind
            )
        )
        await session.flush()
        return True
    if row.kind != kind:
        return False
    if row.endpoint_id == endpoint_id:
        return True
    query = select(EndpointRow.id).where(col(EndpointRow.id) == row.endpoint_id)
    if row.creator_id != creator_id or (await session.exec(query)).first() is not None:
        return False
    row.endpoint_id = endpoint_id
    session.add(row)
    await session.flush()
    return True
