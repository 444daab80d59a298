"""May a configuration use the secrets that it refers to?

Before: `endpoints.lifecycle`. After: `credentials`, `scope_permissions`, `store.secrets.scopes`.
"""

from modelserving.v1.endpoint_pb2 import EndpointConfig
from sqlmodel.ext.asyncio.session import AsyncSession

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Permission, Principal
from modelplane.control_plane.secrets.credentials import find_references, reference_to
from modelplane.control_plane.secrets.scope_permissions import permission_of
from modelplane.control_plane.store.secrets.scopes import load_scopes, load_secrets


async def require_secrets(
    session: AsyncSession, principal: Principal | None, config: EndpointConfig
) -> None:
    """Check that every secret that `config` refers to exists, and that the principal may read it.

    Their scopes are locked, so that this is still true when the transaction commits.

    Args:
        session: Where they are looked up.
        principal: Who writes the configuration; None: it is one that was checked before.
        config: The configuration.

    Raises:
        InvalidParameter: A reference is malformed, or its secret does not exist for the principal.
    """
    references = find_references(config)
    names = {scope for scope, _ in references}
    scopes = await load_scopes(session, names, lock=True) if names else []
    stored = await load_secrets(session, references)
    readable = {
        scope.name
        for scope in scopes
        if principal is None or permission_of(principal, scope.acl) >= Permission.READ
    }
    for name, slot in references.items():
        if name not in stored or name[0] not in readable:
            raise InvalidParameter(
                f"Served entity '{slot.entity}': {slot.name} refers to {reference_to(name)}, "
                "which does not exist or which you may not read; create the scope and put the "
                "secret first, or ask for READ on the scope."
            )
