"""Which endpoints refer to a secret, by the rows that are written with each version.

Before: `secrets.references`. After: `tables`. What writes them is `changes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, or_, select

from modelplane.control_plane.principal import Level
from modelplane.control_plane.store import codec
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.states import Phase
from modelplane.control_plane.store.tables import EndpointRow, SecretReferenceRow

# Drivers limit the number of parameters.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class SecretUse:
    """A version of an endpoint's configuration that refers to a secret.

    Attributes:
        endpoint: Name of the endpoint.
        grants: Levels on it by identifiers of principals and groups.
        key: Key of the secret.
        version: The version.
    """

    endpoint: str
    grants: Mapping[str, Level]
    key: str
    version: int


async def find_uses(session: Session, scope: str, key: str | None) -> list[SecretUse]:
    """Return who uses a secret of a scope, by endpoint and key; see `find_users`."""
    query = select(
        EndpointRow.name,
        EndpointRow.grants_json,
        SecretReferenceRow.key,
        SecretReferenceRow.version,
    ).where(*_in_use(scope, key))
    uses = [
        SecretUse(name, codec.decode_levels(text, Level), found, version)
        for name, text, found, version in (await session.exec(query)).all()
    ]
    return sorted(uses, key=lambda use: (use.endpoint, use.key, use.version))


async def find_users(session: Session, scope: str, key: str | None) -> list[str]:
    """Return the identifiers of the endpoints that use a secret, in order.

    Those do whose active version refers to it, or the one being rolled out.

    Args:
        session: Reads.
        scope: Scope of the secret.
        key: Its key; None: any of the scope.
    """
    query = select(EndpointRow.id).where(*_in_use(scope, key))
    return list((await session.exec(query.order_by(col(EndpointRow.id)).distinct())).all())


async def find_named_users(
    session: Session, scope: str, key: str | None
) -> dict[str, Mapping[str, Level]]:
    """Return the grants of the endpoints that use a secret, by name; see `find_users`."""
    ids = await find_users(session, scope, key)
    found: dict[str, Mapping[str, Level]] = {}
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        query = select(EndpointRow.name, EndpointRow.grants_json)
        rows = await session.exec(query.where(col(EndpointRow.id).in_(batch)))
        found |= {name: codec.decode_levels(text, Level) for name, text in rows.all()}
    return found


def _in_use(scope: str, key: str | None) -> list[ColumnElement[bool]]:
    """Return what joins endpoints with those of their references that count."""
    version = col(SecretReferenceRow.version)
    in_rollout = col(EndpointRow.phase) != Phase.SETTLED
    found = [
        col(SecretReferenceRow.endpoint_id) == col(EndpointRow.id),
        col(SecretReferenceRow.scope) == scope,
        or_(
            version == col(EndpointRow.active_version),
            and_(in_rollout, version == col(EndpointRow.pending_version)),
        ),
    ]
    return found if key is None else [*found, col(SecretReferenceRow.key) == key]
