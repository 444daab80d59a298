"""Who calls, and may they? Answered from the snapshot alone, without a remote call.

Used by `invocation.py`. A token is looked up by its digest; permissions of single endpoints will
be decided in `authorize`.
"""

from collections.abc import Mapping

from adapters.rpc.authorization import digest, parse_token
from adapters.rpc.metadata import AUTHORIZATION
from data_plane.errors import PermissionDenied, Unauthenticated, WorkerNotReady
from data_plane.snapshot import Endpoint, Snapshot, Token


def authenticate(snapshot: Snapshot, metadata: Mapping[str, str], now_ms: float) -> Token:
    """Return the accepted token that the caller presents.

    Args:
        snapshot: Holds the digests of all accepted tokens.
        metadata: Request metadata.
        now_ms: Wall time, milliseconds since the epoch.

    Raises:
        WorkerNotReady: The snapshot is the empty one that a worker starts with.
        Unauthenticated: There is no token, or it is unknown or expired.
    """
    if not snapshot.store_id:
        # To deny a good token would make clients give up that only have to try again.
        raise WorkerNotReady
    token = parse_token(metadata.get(AUTHORIZATION))
    if token is None:
        raise Unauthenticated("Send a token as `Authorization: Bearer <token>`.")
    known = snapshot.digests.get(digest(token))
    if known is None:
        raise Unauthenticated("The token is not valid.")
    if known.expiry_ms and known.expiry_ms <= now_ms:
        raise Unauthenticated("The token has expired.")
    return known


def authorize(token: Token, endpoint: Endpoint) -> None:
    """Check that the token's principal may query `endpoint`.

    Raises:
        PermissionDenied: It may not.
    """
    if not token.admin:
        raise PermissionDenied(f"You may not query endpoint '{endpoint.name}'.")
