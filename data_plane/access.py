"""Who calls, and may they? Answered from the snapshot alone, without a remote call.

Used by `invocation.py`. The control plane decides in the same way
(`control_plane/access.py`).
"""

from collections.abc import Mapping

from modelplane.adapters.shared.jwt.tokens import TokenRefused, looks_like_jwt
from modelplane.adapters.shared.rpc.authorization import (
    EXPIRED,
    INACTIVE_OWNER,
    NOT_SENT,
    REVOKED,
    UNKNOWN,
    digest,
    invalid_token,
    parse_token,
)
from modelplane.adapters.shared.rpc.metadata import AUTHORIZATION
from modelplane.data_plane.errors import (
    EndpointNotFound,
    PermissionDenied,
    Unauthenticated,
    WorkerNotReady,
)
from modelplane.data_plane.snapshots.callers import Callers, Principal
from modelplane.data_plane.snapshots.snapshot import CAN_QUERY, Endpoint, Snapshot


def authenticate(snapshot: Snapshot, metadata: Mapping[str, str], now_ms: float) -> Principal:
    """Return the principal that calls.

    Args:
        snapshot: Holds everyone who may call.
        metadata: Request metadata.
        now_ms: Wall time, milliseconds since the epoch.

    Raises:
        WorkerNotReady: The snapshot is the empty one that a worker starts with.
        Unauthenticated: There is no token, or it is not valid.
    """
    if not snapshot.store_id:
        # To deny a good token would make clients give up that only have to try again.
        raise WorkerNotReady
    token = parse_token(metadata.get(AUTHORIZATION))
    if token is None:
        raise Unauthenticated(NOT_SENT)
    return _owner(snapshot.callers, token, now_ms)


def authorize(principal: Principal, endpoint: Endpoint) -> None:
    """Check that the principal may query `endpoint`.

    Raises:
        EndpointNotFound: It may not even see the endpoint.
        PermissionDenied: It may see it, but not query it.
    """
    level = level_of(principal, endpoint)
    if level < CAN_QUERY:
        if not level:
            raise EndpointNotFound
        raise PermissionDenied(
            f"You may see endpoint '{endpoint.name}' but not query it; ask one who manages it for "
            "CAN_QUERY."
        )


def level_of(principal: Principal, endpoint: Endpoint) -> int:
    """Return the principal's permission level on `endpoint`: a `PermissionLevel`, 0 for none."""
    grants = endpoint.grants
    level = CAN_QUERY if principal.admin else grants.get(principal.id, 0)
    if level < CAN_QUERY:
        for group_id in principal.group_ids:
            level = max(level, grants.get(group_id, 0))
    return level


def _owner(callers: Callers, token: str, now_ms: float) -> Principal:
    token_digest = digest(token)
    known = callers.digests.get(token_digest)
    if known is None:
        if looks_like_jwt(token):
            return _bearer(callers, token, token_digest, now_ms)
        raise Unauthenticated(UNKNOWN)
    if known.expiry_ms and known.expiry_ms <= now_ms:
        raise Unauthenticated(EXPIRED)
    principal = callers.principals.get(known.principal_id)
    if principal is None:
        raise Unauthenticated(INACTIVE_OWNER)
    return principal


def _bearer(callers: Callers, token: str, token_digest: bytes, now_ms: float) -> Principal:
    try:
        verified = callers.verifier.verify(token, token_digest, callers.issuers, now_ms / 1000)
    except TokenRefused as error:
        raise Unauthenticated(invalid_token(str(error))) from None
    principal = callers.names.get(verified.principal_name)
    if principal is None:
        raise Unauthenticated(INACTIVE_OWNER)
    if verified.issued_at < principal.tokens_valid_from:
        raise Unauthenticated(REVOKED)
    return principal
