"""Use cases that change an endpoint without a new version: tags, limits, AI Gateway, a stop.

Before: `servicer`. After: `gateway_rules`, `validation`, `store`. Beside: `lifecycle`,
and `settings`, which makes those of a new endpoint.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.endpoint_pb2 import EndpointTag, RateLimit
from modelserving.v1.guardrail_policy_pb2 import GuardrailPolicy
from modelserving.v1.telemetry_pb2 import TelemetryConfig

from modelplane.adapters.shared.guardrail_rules import NO_JUDGES, DefaultJudges
from modelplane.control_plane.clock import Clock, system_clock
from modelplane.control_plane.endpoints import payload_tables
from modelplane.control_plane.endpoints.gateway_rules import (
    MAX_GATEWAY_BYTES,
    build_ai_gateway,
    build_policies,
    build_rate_limits,
    check_countable,
)
from modelplane.control_plane.endpoints.guardrail_judges import (
    require_exempt,
    require_judges,
)
from modelplane.control_plane.endpoints.limited_principals import require_principals
from modelplane.control_plane.endpoints.lookup import lock_endpoint, read_endpoint
from modelplane.control_plane.endpoints.telemetry_rules import build_telemetry
from modelplane.control_plane.endpoints.validation import check_settled, check_tags, is_external
from modelplane.control_plane.errors import Conflict, InvalidParameter
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.pseudonym_keys import ensure_pseudonym_key
from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.endpoints import changes
from modelplane.control_plane.store.endpoints.aliases import aliases_of, claim
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.states import EventKind, Phase

_Field = Literal["tags", "rate_limits", "ai_gateway", "policies", "telemetry_config"]


class SettingChanges:
    """Reads and replaces the settings of endpoints, also during an update, and stops them."""

    def __init__(
        self,
        database: Database,
        sealer: Sealer,
        rollout: Rollout,
        *,
        tables: bool = False,
        judges: DefaultJudges = NO_JUDGES,
        clock: Clock = system_clock,
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where endpoints are stored.
            sealer: Seals the keys of pseudonyms.
            rollout: Tells when the workers have followed.
            tables: Whether the deployment writes payload tables.
            judges: Who judges where guardrails do not say who.
            clock: Milliseconds since the epoch.
        """
        self._clock = clock
        self._tables = tables
        self._judges = judges
        self._sealer = sealer
        self._database = database
        self._rollout = rollout

    async def stop(self, principal: Principal, name: str) -> None:
        """End the processes of an endpoint's hosted models, until another version is activated.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: It serves nothing, or models that others host.
            Conflict: It is stopped, or an update is in progress.
        """
        async with self._database.write() as transaction:
            record = await lock_endpoint(transaction, principal, name)
            if record.newest and is_external(record.newest.config):
                raise InvalidParameter(
                    f"Endpoint '{name}' serves external models, which have no processes to stop; "
                    "delete it, or take from callers the permission to query it."
                )
            check_settled(name, updating=record.phase is not Phase.SETTLED)
            if record.active is None:
                raise InvalidParameter(f"Endpoint '{name}' serves nothing that could be stopped.")
            if record.stopped:
                raise Conflict(f"Endpoint '{name}' is stopped already.")
            revision = await changes.stop(transaction, record.id)
        await self._rollout.wait_applied(revision)

    async def patch_tags(
        self,
        principal: Principal,
        name: str,
        added: Sequence[EndpointTag],
        deleted: Collection[str],
    ) -> Sequence[EndpointTag]:
        """Delete and add tags, and return all of them.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: A tag is malformed, or there would be too many.
            AlreadyExists: An alias is another endpoint's.
        """
        revision = None
        async with self._database.write() as transaction:
            record = await lock_endpoint(transaction, principal, name)
            new = EndpointSettings(tags=_patch(record.settings.tags, added, deleted))
            await _replace(transaction, record, "tags", new)
            # Of tags, workers know the aliases alone.
            if (named := aliases_of(new.tags)) != aliases_of(record.settings.tags):
                await claim(transaction, record.id, named)
                revision = await transaction.revise(EventKind.ENDPOINT, record.id)
        if revision is not None:
            await self._rollout.wait_applied(revision)
        return new.tags

    async def get_rate_limits(self, principal: Principal, name: str) -> Sequence[RateLimit]:
        """Return the deprecated rate limits.

        Raises:
            NotFound: There is no such endpoint.
        """
        return (await read_endpoint(self._database, principal, name)).settings.rate_limits

    async def put_rate_limits(
        self, principal: Principal, name: str, given: Iterable[RateLimit]
    ) -> Sequence[RateLimit]:
        """Replace the deprecated rate limits and return them.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: A limit is wrong.
        """
        limits = build_rate_limits(given)
        await self._push(principal, name, "rate_limits", EndpointSettings(rate_limits=limits))
        return limits

    async def get_ai_gateway(self, principal: Principal, name: str) -> AiGatewayConfig:
        """Return the AI Gateway settings.

        Raises:
            NotFound: There is no such endpoint.
        """
        return (await read_endpoint(self._database, principal, name)).settings.ai_gateway

    async def put_ai_gateway(
        self, principal: Principal, name: str, given: AiGatewayConfig
    ) -> AiGatewayConfig:
        """Replace the AI Gateway settings and return them.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: A setting is wrong.
        """
        gateway = build_ai_gateway(given, tables=self._tables, judges=self._judges)
        await self._push(principal, name, "ai_gateway", EndpointSettings(ai_gateway=gateway))
        return gateway or AiGatewayConfig()

    async def get_policies(self, principal: Principal, name: str) -> Sequence[GuardrailPolicy]:
        """Return the guardrail policies.

        Raises:
            NotFound: There is no such endpoint.
        """
        return (await read_endpoint(self._database, principal, name)).settings.policies

    async def put_policies(
        self, principal: Principal, name: str, given: Sequence[GuardrailPolicy]
    ) -> Sequence[GuardrailPolicy]:
        """Replace the guardrail policies and return them.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: A policy is wrong.
        """
        new = EndpointSettings(policies=build_policies(given))
        if (size := new.ByteSize()) > MAX_GATEWAY_BYTES:
            raise InvalidParameter(
                f"policies has {size} bytes; at most {MAX_GATEWAY_BYTES} are allowed. Shorten its "
                "texts."
            )
        await self._push(principal, name, "policies", new)
        return new.policies

    async def patch_telemetry(
        self, principal: Principal, name: str, given: TelemetryConfig
    ) -> StoredEndpoint:
        """Replace what is recorded of telemetry, and return the endpoint.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: A setting is wrong.
            Conflict: An update is in progress.
        """
        new = EndpointSettings(telemetry_config=build_telemetry(given, available=self._tables))
        await self._push(principal, name, "telemetry_config", new)
        return await read_endpoint(self._database, principal, name)

    async def _push(
        self, principal: Principal, name: str, field: _Field, new: EndpointSettings
    ) -> None:
        """Replace a setting that workers hold, and wait for them."""
        async with self._database.write() as transaction:
            record = await lock_endpoint(transaction, principal, name, setting=True)
            await require_principals(transaction.session, new.ai_gateway)
            await require_exempt(transaction.session, new)
            await require_judges(
                transaction.session, principal, name, new, self._judges, old=record.settings
            )
            if any(policy.action == "pseudonym" for policy in new.policies):
                await ensure_pseudonym_key(transaction.session, self._sealer, record.id)
            if field == "ai_gateway":
                for version in filter(None, (record.active, record.pending)):
                    check_countable(new.ai_gateway, version.hosted)
                table = new.ai_gateway.inference_table_config
                await payload_tables.change(transaction.session, record, table)
            elif field == "telemetry_config":
                check_settled(name, updating=record.phase is not Phase.SETTLED)
                telemetry = new.telemetry_config
                await payload_tables.change_telemetry(transaction.session, record, telemetry)
            # As in the mirrored API, of settings this one alone is told as a change.
            now_ms = self._clock() if field == "telemetry_config" else 0
            await _replace(transaction, record, field, new, now_ms)
            revision = await transaction.revise(EventKind.ENDPOINT, record.id)
        await self._rollout.wait_applied(revision)


async def _replace(
    transaction: Transaction,
    record: StoredEndpoint,
    field: _Field,
    new: EndpointSettings,
    now_ms: int = 0,
) -> None:
    """Store the settings of `record`, in one field those of `new`, which has no other.

    Raises:
        InvalidParameter: They do not agree with one another.
    """
    settings = EndpointSettings()
    settings.CopyFrom(record.settings)
    settings.ClearField(field)
    settings.MergeFrom(new)
    payload_tables.check_redaction(settings)
    await changes.set_settings(transaction, record.id, settings, now_ms)


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
