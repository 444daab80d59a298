"""From stored endpoints and tokens to the resources that workers hold.

Before: `store.endpoint_store`, `credentials`. After: `snapshots.cache`.
"""

from collections.abc import Collection, Sequence

from modelserving.snapshot.v1.snapshot_pb2 import EndpointResource, TokenResource
from modelserving.v1.endpoint_pb2 import EndpointConfig
from sqlmodel.ext.asyncio.session import AsyncSession

from control_plane.credentials import CredentialResolver
from control_plane.store.endpoint_store import StoredEndpoint, load_endpoints
from control_plane.store.tables import Phase
from control_plane.store.token_store import StoredToken, load_tokens


class ResourceBuilder:
    """Loads resources from the store, with every credential resolved."""

    def __init__(self, resolver: CredentialResolver) -> None:
        self._resolver = resolver

    async def endpoints(
        self, session: AsyncSession, ids: Collection[str] | None
    ) -> list[EndpointResource]:
        """Return the resources of the endpoints `ids` that exist; None: of all."""
        stored = await load_endpoints(session, ids)
        versions = [version for endpoint in stored for version in _versions_to_push(endpoint)]
        resolved = await self._resolver.resolve_all(session, versions)
        configs = {
            (endpoint_id, version): config
            for (endpoint_id, version, _), config in zip(versions, resolved, strict=True)
        }
        return [_build_endpoint(endpoint, configs) for endpoint in stored]

    async def tokens(
        self, session: AsyncSession, ids: Collection[str] | None
    ) -> list[TokenResource]:
        """Return the resources of the tokens `ids` that exist; None: of all."""
        return [_build_token(token) for token in await load_tokens(session, ids)]


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
    )


def _build_token(token: StoredToken) -> TokenResource:
    return TokenResource(
        id=token.id,
        digest=token.digest,
        principal=token.principal,
        admin=token.admin,
        expiry_ms=token.expiry_ms or 0,
    )
