"""Between configurations and secrets: may one use another, and which endpoints do?

Before: `endpoints.lifecycle` writes configurations, `scopes` and `sync` change secrets. After:
`access`, `credentials`, `store`.
"""

from collections.abc import Collection
from typing import Protocol

from modelserving.v1.endpoint_pb2 import EndpointConfig

from modelplane.control_plane.access import level_of, permission_of
from modelplane.control_plane.errors import Conflict, InvalidParameter
from modelplane.control_plane.principal import Permission, Principal
from modelplane.control_plane.secrets.credentials import find_references, reference_to
from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.endpoints.references import find_named_users, find_users
from modelplane.control_plane.store.secrets.scopes import SecretName, load_scopes, load_secrets
from modelplane.control_plane.store.states import EventKind

# Endpoints that a message names.
_NAMED = 10


class SecretSource(Protocol):
    """Reads secrets that another store keeps."""

    async def fetch(self, principal: Principal, config: EndpointConfig) -> None:
        """Take over the secrets that `config` refers to, as far as the principal may read them.

        Raises:
            InvalidParameter: A reference is malformed.
            StoreUnavailable: A store does not answer, and its secret was never read before.
        """


async def require_secrets(
    session: Session, principal: Principal | None, config: EndpointConfig
) -> Collection[SecretName]:
    """Return the secrets that `config` refers to: all exist, and the principal may read them.

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
    return references.keys()


async def require_no_users(
    transaction: Transaction, principal: Principal, scope: str, key: str | None
) -> None:
    """Check that no endpoint uses a secret (None: any of the scope) that is to be deleted.

    Workers would go on with it until they are restarted, and could not serve the endpoint then.

    Raises:
        Conflict: One does; those that the principal may see are named.
    """
    users = await find_named_users(transaction.session, scope, key)
    if not users:
        return
    seen = sorted(name for name, grants in users.items() if level_of(principal, grants))
    told = [f"'{name}'" for name in seen[:_NAMED]]
    if others := len(users) - len(told):
        told.append(f"{others} {'others' if told else 'that you may not see'}")
    what = f"Secret '{key}' of scope '{scope}' is" if key else f"Secrets of scope '{scope}' are"
    raise Conflict(
        f"{what} used by endpoints: {', '.join(told)}. Delete them or take the reference out of "
        "their configurations first; to take a value out of use at once, put another one in its "
        "place."
    )


async def revise_users(transaction: Transaction, name: SecretName) -> int | None:
    """Record for every endpoint that uses a secret that its value changed.

    Returns the last revision; None when no endpoint uses it.
    """
    # An endpoint whose transaction read the old value has committed by now, or will read the new.
    await transaction.hold_revisions()
    users = await find_users(transaction.session, *name)
    if not users:
        return None
    return await transaction.revise_all(EventKind.ENDPOINT, users, "/".join(name))


async def require_unused(transaction: Transaction, scope: str) -> None:
    """Check that no endpoint refers to a scope which is being made.

    What does was checked against the list of a scope that was called the same and is gone. With
    the secrets of the new one, its maker could have them sent to any address.

    Raises:
        InvalidParameter: One does.
    """
    await transaction.hold_revisions()
    if await find_users(transaction.session, scope, None):
        raise InvalidParameter(
            f"An endpoint still refers to scope '{scope}', which was deleted, and would get the "
            "secrets of the new one; delete the endpoint or take the reference out of its "
            "configuration first, or choose another name."
        )
