"""Use cases that change an endpoint without a new version: tags, limits, AI Gateway.

Before: `servicer`. After: `gateway_rules`, `validation`, `store`. Beside: `lifecycle`.
"""

from collections.abc import Collection, Iterable, Sequence

from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.endpoint_pb2 import EndpointTag, RateLimit

from modelplane.control_plane.endpoints.gateway_rules import (
    build_ai_gateway,
    build_rate_limits,
)
from modelplane.control_plane.endpoints.lookup import lock_endpoint, read_endpoint
from modelplane.control_plane.endpoints.validation import check_tags
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes


class SettingChanges:
    """Reads and replaces the settings of endpoints, also during an update."""

    def __init__(self, database: Database, rollout: Rollout) -> None:
        self._database = database
        self._rollout = rollout

    async def patch_tags(
        self,
        principal: Principal,
        name: str,
        added: Sequence[EndpointTag],
        deleted: Collection[str],
    ) -> list[EndpointTag]:
        """Delete and add tags, and return all of them.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: A tag is malformed, or there would be too many.
        """
        async with self._database.write() as transaction:
            record = await lock_endpoint(transaction, principal, name)
            tags = _patch(record.tags, added, deleted)
            await changes.set_tags(transaction, record.id, tags)
        return tags

    async def get_rate_limits(self, principal: Principal, name: str) -> list[RateLimit]:
        """Return the deprecated rate limits.

        Raises:
            NotFound: There is no such endpoint.
        """
        return (await read_endpoint(self._database, principal, name)).rate_limits

    async def put_rate_limits(
        self, principal: Principal, name: str, given: Iterable[RateLimit]
    ) -> list[RateLimit]:
        """Replace the deprecated rate limits and return them.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: A limit is wrong.
        """
        limits = build_rate_limits(given)
        async with self._database.write() as transaction:
            record = await lock_endpoint(transaction, principal, name)
            revision = await changes.set_rate_limits(transaction, record.id, limits)
        await self._rollout.wait_applied(revision)
        return limits

    async def get_ai_gateway(self, principal: Principal, name: str) -> AiGatewayConfig:
        """Return the AI Gateway settings.

        Raises:
            NotFound: There is no such endpoint.
        """
        return (
            await read_endpoint(self._database, principal, name)
        ).ai_gateway or AiGatewayConfig()

    async def put_ai_gateway(
        self, principal: Principal, name: str, given: AiGatewayConfig
    ) -> AiGatewayConfig:
        """Replace the AI Gateway settings and return them.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: A setting is wrong.
        """
        gateway = build_ai_gateway(given)
        async with self._database.write() as transaction:
            record = await lock_endpoint(transaction, principal, name)
            revision = await changes.set_ai_gateway(transaction, record.id, gateway)
        await self._rollout.wait_applied(revision)
        return gateway or AiGatewayConfig()


def _patch(
    tags: Iterable[EndpointTag], added: Sequence[EndpointTag], deleted: Collection[str]
) -> list[EndpointTag]:
    check_tags(added)
    if both := [tag.key for tag in added if tag.key in deleted]:
        raise InvalidParameter(
            f"Tags are both added and deleted: {', '.join(both)}; name each in one list only."
        )
    kept = {tag.key: tag for tag in tags if tag.key not in deleted}
    patched = list((kept | {tag.key: tag for tag in added}).values())
    check_tags(patched)
    return patched
