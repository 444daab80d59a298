"""From stored endpoints, principals and tokens to the resources that workers hold.

Before: `store.endpoints.records`, `credentials`. After: `snapshots.cache`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from modelserving.v1.endpoint_pb2 import EndpointConfig
from modelserving.worker.v1.snapshot_pb2 import (
    EndpointResource,
    Grant,
    IssuerResource,
    Membership,
    PrincipalResource,
    TokenResource,
)

from modelplane.control_plane.principal import ADMINS_ID, PrincipalKind
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.endpoints.records import StoredEndpoint, load_endpoints
from modelplane.control_plane.store.identity.issuers import load_issuers
from modelplane.control_plane.store.identity.principals import StoredPrincipal, load_principals
from modelplane.control_plane.store.identity.tokens import StoredToken, load_tokens
from modelplane.control_plane.store.tables import EventKind, Phase

Resource: TypeAlias = EndpointResource | PrincipalResource | TokenResource | IssuerResource


class ResourceBuilder:
    """Loads resources from the store, with every credential resolved."""

    def __init__(self, resolver: CredentialResolver) -> None:
        self._resolver = resolver

    async def load(
        self, session: Session, kind: EventKind, keys: Collection[str] | None
    ) -> Mapping[str, Resource]:
        """Return the resources `keys` of a kind that exist, by key; None: all of the kind."""
        match kind:
            case EventKind.ENDPOINT:
                return {item.id: item for item in await self._endpoints(session, keys)}
            case EventKind.PRINCIPAL:
                principals = await load_principals(session, keys)
                return {item.id: _build_principal(item) for item in principals if item.active}
            case EventKind.TOKEN:
                tokens = await load_tokens(session, keys)
                return {item.id: _build_token(item) for item in tokens}
            case EventKind.ISSUER:
                return await load_issuers(session, keys)

    async def _endpoints(
        self, session: Session, ids: Collection[str] | None
    ) -> list[EndpointResource]:
        stored = await load_endpoints(session, ids)
        versions = [version for endpoint in stored for version in _versions_to_push(endpoint)]
        resolved = await self._resolver.resolve_all(session, versions)
        configs = {
            (endpoint_id, version): config
            for (endpoint_id, version, _), config in zip(versions, resolved, strict=True)
        }
        return [_build_endpoint(endpoint, configs) for endpoint in stored]


def _versions_to_push(endpoint: StoredEndpoint) -> Sequence[tuple[str, int, EndpointConfig]]:
    rolling_out = endpoint.pending if endpoint.phase is not Phase.SETTLED else None
    replaced = endpoint.phase is Phase.ACTIVATING
    pushed = (None if replaced else endpoint.active, rolling_out)
    return [(endpoint.id, *version) for version in pushed if version is not None]


def _build_endpoint(
    endpoint: StoredEndpoint, configs: dict[tuple[str, int], EndpointConfig]
) -> EndpointResource:
    active, prepared = endpoint.active, None
    match endpoint.phase:
        case Phase.PREPARING:
            prepared = endpoint.pending
        case Phase.ACTIVATING:
            active = endpoint.pending
    return EndpointResource(
        id=endpoint.id,
        name=endpoint.name,
        active=configs[endpoint.id, active[0]] if active else None,
        prepared=configs[endpoint.id, prepared[0]] if prepared else None,
        rate_limits=endpoint.rate_limits,
        ai_gateway=endpoint.ai_gateway,
        grants=[
            # The numbers of the levels are the same in both.
            Grant(grantee_id=grantee, level=int(level))  # type: ignore[arg-type]
            for grantee, level in endpoint.grants.items()
        ],
    )


def _build_token(token: StoredToken) -> TokenResource:
    return TokenResource(
        id=token.id,
        digest=token.digest,
        principal_id=token.principal_id,
        expiry_ms=token.expiry_ms or 0,
    )


def _build_principal(principal: StoredPrincipal) -> PrincipalResource:
    return PrincipalResource(
        id=principal.id,
        name=principal.name,
        service_principal=principal.kind is PrincipalKind.SERVICE_PRINCIPAL,
        admin=ADMINS_ID in principal.groups,
        memberships=[
            Membership(group_id=group_id, group_name=name)
            for group_id, name in principal.groups.items()
        ],
        tokens_valid_from=principal.tokens_valid_from,
    )
