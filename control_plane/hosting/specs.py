"""From stored groups to what a launcher is told, secrets included. Before: `pool`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelserving.launcher.v1.launcher_service_pb2 import (
    GroupSpec,
    ModelSource,
)
from modelserving.v1.endpoint_pb2 import EndpointConfig, ServedEntity

from modelplane.control_plane.hosting.measurements import Measurements
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.hosting.groups import StoredGroup, load, read_endpoint_names

if TYPE_CHECKING:
    from modelplane.adapters.registries.kinds import RegistryPlace


@dataclass(frozen=True, slots=True)
class SpecSettings:
    """What is the same for all groups.

    Attributes:
        registry: Where the deployment's registry is, with its credential; None: it has none.
        start_deadline_ms: How long a replica may take until it is ready.
        evaluation_deadline_ms: How long a model may take for one request.
        calibration_ms: How long it is measured what one does whose throughput is provisioned.
    """

    registry: "RegistryPlace | None" = None
    start_deadline_ms: int = 600_000
    evaluation_deadline_ms: int = 597_000
    calibration_ms: int = 0


class Specs:
    """Builds what launchers are told of groups."""

    def __init__(
        self, resolver: CredentialResolver, measurements: Measurements, settings: SpecSettings
    ) -> None:
        self._resolver = resolver
        self._measurements = measurements
        self._settings = settings

    async def load(self, session: Session, ids: Collection[str]) -> dict[str, GroupSpec]:
        """Return the specifications of those of the groups `ids` that exist."""
        groups = await load(session, ids)
        names = await read_endpoint_names(session, {group.endpoint_id for group in groups})
        resolved = await self._environments(session, groups)
        unmeasured = await self._unmeasured(session, groups)
        return {
            group.id: self._spec(
                group,
                names.get(group.endpoint_id, ""),
                environment,
                self._settings.calibration_ms if group.id in unmeasured else 0,
            )
            for group, environment in zip(groups, resolved, strict=True)
        }

    async def _unmeasured(self, session: Session, groups: Sequence[StoredGroup]) -> set[str]:
        """Return those of the groups whose throughput is provisioned, and was never measured."""
        provisioned = [group for group in groups if group.model.scale.throughput_chunk]
        models = [group.model for group in provisioned]
        rates = await self._measurements.rates_of(session, models)
        return {group.id for group, rate in zip(provisioned, rates, strict=True) if rate is None}

    async def _environments(
        self, session: Session, groups: Sequence[StoredGroup]
    ) -> list[dict[str, str]]:
        configs = [(group.endpoint_id, _alone(group)) for group in groups]
        resolved = await self._resolver.resolve_all(session, configs)
        return [dict(config.served_entities[0].environment_vars) for config in resolved]

    def _spec(
        self,
        group: StoredGroup,
        endpoint_name: str,
        environment: dict[str, str],
        calibration_ms: int,
    ) -> GroupSpec:
        source = ModelSource()
        source.CopyFrom(group.model.source)
        if self._settings.registry:
            source.authorization = self._settings.registry.authorization_for(source)
        return GroupSpec(
            id=group.id,
            generation=group.generation,
            replicas=group.desired,
            endpoint_name=endpoint_name,
            served_entity_name=group.served_entity_name,
            model=source,
            size=group.model.size,
            environment=environment,
            start_deadline_ms=self._settings.start_deadline_ms,
            evaluation_deadline_ms=self._settings.evaluation_deadline_ms,
            engine=group.model.engine,
            engine_options=group.model.engine_options,
            calibration_ms=calibration_ms,
        )


def _alone(group: StoredGroup) -> EndpointConfig:
    entity = ServedEntity(name=group.served_entity_name, environment_vars=group.environment)
    return EndpointConfig(served_entities=[entity])
