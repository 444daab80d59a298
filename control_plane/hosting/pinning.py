"""From the names in a configuration to what they mean: pinned once, when a version is made.

The registry is asked before the transaction that stores the version, which must not wait for it.
Before: `endpoints.lifecycle`. After: `adapters.registries`, `workloads`.
"""

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from modelserving.launcher.v1.launcher_service_pb2 import (
    EngineOptions,
    ModelSource,
    ReplicaSize,
)
from modelserving.store.v1.hosting_pb2 import HostedModel, ScalePolicy
from modelserving.v1.endpoint_pb2 import EndpointConfig, ServedEntity

from modelplane.adapters.registries.base import (
    ModelNotFound,
    Registry,
    RegistryError,
    RegistryUnavailable,
    digest_of,
)
from modelplane.adapters.registries.catalogue import Catalogue, FoundationModels
from modelplane.adapters.registries.foundation_model import ENTITY_PREFIX
from modelplane.adapters.registries.mlmodel import MlModel, parse_mlmodel
from modelplane.control_plane.errors import (
    ControlPlaneError,
    InvalidParameter,
    NotFound,
    NotSupported,
    RegistryAway,
)
from modelplane.control_plane.hosting.engine_rules import (
    ALL_ENGINES,
    EMBEDDINGS,
    NO_ENGINES,
    PYFUNC,
    Engines,
    choose_engine,
)
from modelplane.control_plane.hosting.entity_rules import check_hosted, check_model, check_type
from modelplane.control_plane.hosting.measurements import Measurements
from modelplane.control_plane.hosting.throughput import (
    NO_CHUNK,
    NOT_OPTIMIZABLE,
    Chunk,
    estimate,
    is_optimizable,
)
from modelplane.control_plane.hosting.throughput_rules import (
    is_provisioned,
    may_be_none,
    scale_of,
)
from modelplane.control_plane.hosting.workloads import (
    DEFAULT_TYPE,
    DEFAULT_WORKLOADS,
    Workloads,
)

_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Described:
    """What a version of a model is.

    Attributes:
        model: The model as an entity would serve it.
        reason: Why its throughput cannot be provisioned; empty: it can be.
        chunk: In which steps.
    """

    model: HostedModel
    reason: str
    chunk: Chunk = NO_CHUNK


class Pinning:
    """Finds out what the models of configurations are.

    Args:
        registry: Knows the models; None: the deployment has none.
        workloads: What replicas may use.
        catalogue: The deployment's foundation models.
        engines: What serves models where no launcher is asked for that.
        measurements: What the launcher has, and models were measured to do; None: all is estimated.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        workloads: Workloads = DEFAULT_WORKLOADS,
        catalogue: Catalogue | None = None,
        engines: Engines = NO_ENGINES,
        measurements: Measurements | None = None,
    ) -> None:
        self._registry = registry
        self._workloads = workloads
        self._foundation = FoundationModels(catalogue or Catalogue())
        self._engines = engines
        self._measurements = measurements

    async def describe(self, name: str, version: str, workload_type: str = "") -> Described:
        """Return what a version of a model is, as an entity would serve it.

        Args:
            name: Name of the model.
            version: Its version, or an alias.
            workload_type: What it would be served on; empty: the default.

        Raises:
            NotSupported: There is no registry.
            NotFound: There is no such model, version or alias.
            InvalidParameter: The names break a rule, or the files cannot be read.
            RegistryAway: The registry does not answer.
        """
        entity = ServedEntity(entity_name=name, workload_type=workload_type or DEFAULT_TYPE)
        entity.entity_version.string_value = version
        registry = self._registry_of(entity)
        check_model(entity)
        check_type(entity, self._workloads)
        try:
            source, parsed = await _read(registry, name, version)
        except RegistryError as error:
            raise _told(error) from error
        try:
            engines = await self._engines_for(entity)
            engine = choose_engine(parsed, engines.on(self._workloads.size_of(entity)))
        except InvalidParameter as error:
            return Described(HostedModel(engine=PYFUNC), f"Model '{name}' {error}")
        model = self._hosted(entity, source, parsed, engine)
        if not is_optimizable(model):
            return Described(model, f"Model '{name}' {NOT_OPTIMIZABLE}")
        return Described(model, "", await self._chunk_of(model))

    async def pin(
        self, config: EndpointConfig, served: Sequence[HostedModel] = ()
    ) -> list[HostedModel]:
        """Return what each entity means, and write versions in the place of aliases.

        Groups are given by `assign_groups`, once it is known of which endpoint they are.

        Args:
            config: A configuration that hosts its models.
            served: What the endpoint serves now; while the registry is away, entities that stay as
                they are need not be asked for.

        Raises:
            NotSupported: There is no registry.
            NotFound: There is no such model, version or alias.
            InvalidParameter: An entity breaks a rule, or its model cannot be served.
            RegistryAway: The registry does not answer.
        """
        entities = config.served_entities
        registries = [self._registry_of(entity) for entity in entities]
        check_hosted(config, self._workloads)
        known = {(model.source.name, model.source.version): model for model in served}
        finding = [
            self._find(registry, entity, known)
            for registry, entity in zip(registries, entities, strict=True)
        ]
        found = await asyncio.gather(*finding)
        for entity, (source, *_) in zip(entities, found, strict=True):
            entity.entity_version.string_value = source.version
        models = [
            self._hosted(entity, source, model, engine)
            for entity, (source, model, engine) in zip(entities, found, strict=True)
        ]
        for entity, model in zip(entities, models, strict=True):
            model.scale.CopyFrom(await self._scale_of(entity, model, served))
        _check_one_task(models)
        return models

    async def _find(
        self,
        registry: Registry,
        entity: ServedEntity,
        known: Mapping[tuple[str, str], HostedModel],
    ) -> tuple[ModelSource, MlModel, str]:
        name, version = entity.entity_name, entity.entity_version.string_value
        try:
            source, parsed = await _read(registry, name, version)
        except RegistryUnavailable as error:
            if same := known.get((name, version)):
                model = MlModel(same.description, "", options=same.engine_options)
                return same.source, model, same.engine
            raise _told(error, _named(entity)) from error
        except RegistryError as error:
            raise _told(error, _named(entity)) from error
        engines = await self._engines_for(entity)
        engine = _engine_for(entity, parsed, engines.on(self._workloads.size_of(entity)))
        if engine != PYFUNC:
            # Whatever MLflow itself could do with it.
            parsed.description.streamable = parsed.description.task != EMBEDDINGS
        return source, parsed, engine

    async def _engines_for(self, entity: ServedEntity) -> Engines:
        if entity.entity_name.startswith(ENTITY_PREFIX):
            return ALL_ENGINES
        if self._measurements is None:
            return self._engines
        return await self._measurements.engines()

    async def _chunk_of(self, model: HostedModel) -> Chunk:
        if self._measurements is None:
            return estimate(model)
        return await self._measurements.chunk_of(model)

    async def _scale_of(
        self, entity: ServedEntity, model: HostedModel, served: Sequence[HostedModel]
    ) -> ScalePolicy:
        if not is_provisioned(entity):
            return self._workloads.scale_of(entity)
        if not is_optimizable(model):
            name = f"model '{entity.entity_name}'"
            raise InvalidParameter(f"{_named(entity)}{name} {NOT_OPTIMIZABLE}")
        if before := _same_throughput(entity, model, served):
            return before
        chunk = await self._chunk_of(model)
        try:
            return scale_of(entity, chunk)
        except InvalidParameter as error:
            raise InvalidParameter(f"{_named(entity)}{error}") from None

    def _hosted(
        self, entity: ServedEntity, source: ModelSource, model: MlModel, engine: str
    ) -> HostedModel:
        return HostedModel(
            served_entity_name=entity.name,
            engine=engine,
            engine_options=None if engine == PYFUNC else model.options,
            source=source,
            description=model.description,
            size=self._workloads.size_of(entity),
        )

    def _registry_of(self, entity: ServedEntity) -> Registry:
        if entity.entity_name.startswith(ENTITY_PREFIX):
            return self._foundation
        if self._registry is None:
            raise NotSupported(
                "This deployment hosts no models, since it has no model registry; let the operator "
                "set MODELPLANE_REGISTRY, or serve an external_model."
            )
        return self._registry


def assign_groups(
    endpoint_id: str, config: EndpointConfig, models: Sequence[HostedModel]
) -> list[HostedModel]:
    """Return the models of a configuration, each with the group that serves it."""
    environments = {entity.name: entity.environment_vars for entity in config.served_entities}
    assigned = []
    for model in models:
        copy = HostedModel()
        copy.CopyFrom(model)
        copy.group_id = group_id(endpoint_id, environments[model.served_entity_name], model)
        assigned.append(copy)
    return assigned


def group_id(endpoint_id: str, environment: Mapping[str, str], model: HostedModel) -> str:
    """Return the group of a hosted model: the same while nothing changes that its processes know.

    How many replicas there may be is no part of it.
    """
    source, size = model.source, model.size
    parts = [
        *(endpoint_id, model.served_entity_name, model.engine),
        *(source.name, source.version, source.digest),
        *(repr(size.cpus), str(size.memory_bytes), str(size.gpus), str(size.concurrency)),
        *_parts_of(model.engine_options),
        *((size.gpu_type, str(size.gpu_memory_bytes)) if _is_particular(size) else ()),
        *(part for name in sorted(environment) for part in (name, environment[name])),
    ]
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        # With its length, so that no two lists are the same text.
        digest.update(b"%d:%s" % (len(encoded), encoded))
    return digest.hexdigest()[:_DIGITS]


def _parts_of(options: EngineOptions) -> list[str]:
    """Return what tells options from others; of a Python function none, whose groups stay so."""
    if not options.task:
        return []
    dimensions = [str(options.dimensions)] if options.dimensions else []
    return [options.task, str(options.context_tokens), str(options.unnormalized), *dimensions]


def _is_particular(size: ReplicaSize) -> bool:
    return bool(size.gpu_type or size.gpu_memory_bytes)


def _same_throughput(
    entity: ServedEntity, model: HostedModel, served: Sequence[HostedModel]
) -> ScalePolicy | None:
    """Return the scale that an entity has already, which stays when the chunk has changed since."""
    for old in served:
        scale = old.scale
        if (
            scale.throughput_chunk
            and not entity.provisioned_model_units
            and (old.source.digest, old.size) == (model.source.digest, model.size)
            and scale.min_throughput == entity.min_provisioned_throughput
            and scale.max_throughput == entity.max_provisioned_throughput
        ):
            kept = ScalePolicy()
            kept.CopyFrom(scale)
            kept.scale_to_zero = may_be_none(entity)
            return kept
    return None


def _check_one_task(models: Sequence[HostedModel]) -> None:
    tasks = sorted({model.description.task for model in models})
    if len(tasks) > 1 and any(model.scale.throughput_chunk for model in models):
        raise InvalidParameter(
            "Models behind one endpoint whose throughput is provisioned must do the same; these "
            f"have the tasks {', '.join(task or 'none' for task in tasks)}. Serve them by "
            "endpoints of their own."
        )


async def _read(registry: Registry, name: str, version: str) -> tuple[ModelSource, MlModel]:
    """Return where a version is, and what its `MLmodel` file says.

    Raises:
        RegistryError: It cannot be said.
    """
    source = await registry.version(name, version)
    content = await registry.read_mlmodel(source)
    source.digest = digest_of(content)
    # A long one takes a second.
    return source, await asyncio.to_thread(parse_mlmodel, content)


def _named(entity: ServedEntity) -> str:
    return f"Served entity '{entity.name}': "


def _told(error: RegistryError, before: str = "") -> ControlPlaneError:
    message = f"{before}{error}"
    match error:
        case ModelNotFound():
            return NotFound(message)
        case RegistryUnavailable():
            return RegistryAway(message)
    return InvalidParameter(message)


def _engine_for(entity: ServedEntity, model: MlModel, engines: Collection[str]) -> str:
    try:
        return choose_engine(model, engines)
    except InvalidParameter as error:
        name = f"Served entity '{entity.name}': model '{entity.entity_name}'"
        raise InvalidParameter(f"{name} {error}") from None
