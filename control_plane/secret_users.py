"""Which endpoints use a secret, and telling their workers of a change.

Before: `secrets`, `secret_sync`. After: `credentials`, `store.endpoint_store`.
"""

from control_plane.credentials import find_references, reference_to
from control_plane.store import endpoint_store
from control_plane.store.database import Transaction
from control_plane.store.endpoint_store import StoredEndpoint
from control_plane.store.tables import EventKind


async def revise_users(transaction: Transaction, scope: str, key: str | None) -> int | None:
    """Record a change of every endpoint that uses the secret (None: any of the scope).

    Returns the last revision; None when no endpoint uses it.
    """
    # An endpoint whose transaction read the old value has committed by now, or will read the new.
    await transaction.hold_revisions()
    start = reference_to((scope, key or "")).removesuffix("" if key else "}}")
    revision = None
    for endpoint in await endpoint_store.find_users_of(transaction.session, start):
        if _uses(endpoint, scope, key):
            revision = await transaction.revise(EventKind.ENDPOINT, endpoint.id)
    return revision


def _uses(endpoint: StoredEndpoint, scope: str, key: str | None) -> bool:
    return any(
        used[0] == scope and key in (None, used[1])
        for version in (endpoint.active, endpoint.pending)
        if version is not None
        for used in find_references(version[1])
    )
