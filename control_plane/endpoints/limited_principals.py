"""Whether those exist for whom the AI Gateway of an endpoint has limits.

Before: `setting_changes`, `lifecycle`, in the transaction that stores the limits. After:
`store.identity.grantees`. Beside: `gateway_rules`, for what can be judged without the store.
"""

from collections.abc import Mapping

from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.identity.grantees import GranteeKind, find_by_folded_names

_KINDS: Mapping[str, tuple[GranteeKind, str]] = {
    "user": (GranteeKind.USER, "user"),
    "user_group": (GranteeKind.GROUP, "group"),
    "service_principal": (GranteeKind.SERVICE_PRINCIPAL, "service principal"),
}


async def require_principals(session: Session, gateway: AiGatewayConfig) -> None:
    """Check that every principal exists that a limit names: a limit on nobody would limit nobody.

    Raises:
        InvalidParameter: One does not.
    """
    named = [limit for limit in gateway.rate_limits if limit.principal]
    if not named:
        return
    names = {limit.principal for limit in named}
    # Workers compare names in the same way.
    found = {
        (grantee.kind, grantee.name.casefold())
        for grantee in await find_by_folded_names(session, names)
    }
    for limit in named:
        kind, word = _KINDS[limit.key]
        if (kind, limit.principal.casefold()) not in found:
            raise InvalidParameter(
                f"ai_gateway.rate_limits: there is no {word} '{limit.principal[:200]}'; create "
                "what is missing, or correct the name."
            )
