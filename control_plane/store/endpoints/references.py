"""Which endpoints refer to a secret, by the rows that are written with each version.

Before: `secrets.references`. After: `tables`. What writes them is `changes`.
"""

from sqlmodel import and_, col, or_, select

from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.states import Phase
from modelplane.control_plane.store.tables import EndpointRow, SecretReferenceRow


async def find_users(session: Session, scope: str, key: str | None) -> list[str]:
    """Return the identifiers of the endpoints that use a secret, in order.

    Those do whose active version refers to it, or the one being rolled out.

    Args:
        session: Reads.
        scope: Scope of the secret.
        key: Its key; None: any of the scope.
    """
    version = col(SecretReferenceRow.version)
    in_rollout = col(EndpointRow.phase) != Phase.SETTLED
    query = (
        select(EndpointRow.id)
        .join(SecretReferenceRow, col(SecretReferenceRow.endpoint_id) == col(EndpointRow.id))
        .where(
            col(SecretReferenceRow.scope) == scope,
            or_(
                version == col(EndpointRow.active_version),
                and_(in_rollout, version == col(EndpointRow.pending_version)),
            ),
        )
        .order_by(col(EndpointRow.id))
        .distinct()
    )
    if key is not None:
        query = query.where(col(SecretReferenceRow.key) == key)
    return list((await session.exec(query)).all())
