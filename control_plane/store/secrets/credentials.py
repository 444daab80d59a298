"""Statements on the credentials of endpoints, which stay sealed here.

Before: `secrets.credentials`. After: `tables`. What writes them is `endpoints.changes`.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import tuple_
from sqlmodel import col, select

from modelplane.control_plane.store.database import Session, in_parts
from modelplane.control_plane.store.tables import CredentialRow, EndpointRow

# Above this, a query reads all rows: drivers limit the number of parameters.
_MAX_KEYS = 500
# Of what belongs to an endpoint and to none of its versions, which are counted from 1.
NO_VERSION = 0


async def load_unversioned(
    session: Session, endpoint_ids: Collection[str], path: str
) -> Mapping[str, bytes]:
    """Return what is sealed for endpoints themselves under a path, by their identifiers."""
    found: dict[str, bytes] = {}
    for some in in_parts(list(endpoint_ids)):
        query = select(CredentialRow).where(
            col(CredentialRow.endpoint_id).in_(some),
            col(CredentialRow.version) == NO_VERSION,
            col(CredentialRow.path) == path,
        )
        found |= {row.endpoint_id: row.sealed for row in (await session.exec(query)).all()}
    return found


async def insert_credential(session: Session, endpoint_id: str, path: str, sealed: bytes) -> None:
    """Store what is sealed for an endpoint itself."""
    session.add(
        CredentialRow(endpoint_id=endpoint_id, version=NO_VERSION, path=path, sealed=sealed)
    )
    await session.flush()


async def load_credentials(
    session: Session, versions: Collection[tuple[str, int]]
) -> Mapping[tuple[str, int], dict[str, bytes]]:
    """Return the sealed credentials, by path, of (endpoint id, version) pairs.

    Many pairs at once must be active or pending versions, as a snapshot's are.
    """
    query = select(CredentialRow)
    if len(versions) <= _MAX_KEYS:
        pair = tuple_(col(CredentialRow.endpoint_id), col(CredentialRow.version))
        query = query.where(pair.in_(versions))
    else:
        current = (EndpointRow.active_version, EndpointRow.pending_version)
        query = query.join(EndpointRow).where(col(CredentialRow.version).in_(current))
    found: dict[tuple[str, int], dict[str, bytes]] = {}
    for row in (await session.exec(query)).all():
        found.setdefault((row.endpoint_id, row.version), {})[row.path] = row.sealed
    return found
