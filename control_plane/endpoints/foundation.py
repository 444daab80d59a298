"""Makes the endpoints of foundation models what the operator's catalogue says.

They are endpoints as all others, stored and pushed like them, but nobody has made them: everyone
may query them, and administrators may set their limits. Each process of the control plane does it
when it starts, before it is asked anything. Before: `server.api`. After: `hosting.pinning`,
`store.endpoints`.
"""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from modelserving.store.v1.hosting_pb2 import HostedModel
from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.endpoint_pb2 import EndpointConfig, FoundationModel, Route, ServedEntity

from modelplane.adapters.registries import foundation_model as catalogue_model
from modelplane.adapters.registries.catalogue import Catalogue
from modelplane.adapters.registries.foundation_model import NAME_PREFIX, VERSION
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.endpoints.foundation_views import FOUNDATION_MODEL
from modelplane.control_plane.errors import AlreadyExists, ControlPlaneError
from modelplane.control_plane.hosting.pinning import Pinning, assign_groups
from modelplane.control_plane.principal import USERS_ID, Level
from modelplane.control_plane.store.database import Database, Transaction
from modelplane.control_plane.store.endpoints import changes, records
from modelplane.control_plane.store.endpoints.changes import NewEndpoint, NewVersion
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.states import LastUpdate, Phase

_log = logging.getLogger(__name__)

# Another process that starts may make the same endpoint.
_ATTEMPTS = 3
_PRICING = "Pay-per-token"
_API_TYPES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        catalogue_model.CHAT: (
            "mlflow/v1/chat/completions",
            "anthropic/v1/messages",
            "openai/v1/responses",
            "gemini/v1/generateContent",
            "cursor/v1/chat/completions",
        ),
        catalogue_model.COMPLETIONS: ("mlflow/v1/completions",),
        catalogue_model.EMBEDDINGS: ("mlflow/v1/embeddings",),
    }
)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What an endpoint is to serve."""

    config: EndpointConfig
    # Without groups, which depend on the endpoint.
    hosted: Sequence[HostedModel]


def _new_id() -> str:
    return uuid.uuid4().hex


class FoundationEndpoints:
    """The endpoints that a catalogue says there are.

    Args:
        database: Where endpoints are stored.
        pinning: Finds out what its models are.
        catalogue: The catalogue.
        clock: The time.
        new_id: Returns a new identifier: 32 hexadecimal digits.
    """

    def __init__(
        self,
        database: Database,
        pinning: Pinning,
        catalogue: Catalogue,
        clock: Clock,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        self._database = database
        self._pinning = pinning
        self._catalogue = catalogue
        self._clock = clock
        self._new_id = new_id

    async def reconcile(self) -> None:
        """Make, change and remove endpoints until they are those of the catalogue.

        Raises:
            StoreUnavailable: The database does not answer.
            ValueError: The catalogue asks for what cannot be; the text says what.
        """
        wanted = {model.name: await self._want(model) for model in self._catalogue if model.name}
        async with self._database.read() as session:
            stored = await records.read_names(session, NAME_PREFIX)
        for name in sorted({*wanted, *stored}):
            await self._apply(name, wanted.get(name))

    async def _want(self, model: catalogue_model.FoundationModel) -> _Wanted:
        config = _build_config(model)
        try:
            hosted = await self._pinning.pin(config)
        except ControlPlaneError as error:
            raise ValueError(f"MODELPLANE_FOUNDATION_MODELS: {error}") from error
        for one in hosted:
            one.description.function_calling = model.function_calling
        return _Wanted(config, hosted)

    async def _apply(self, name: str, wanted: _Wanted | None) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                async with self._database.write() as transaction:
                    done = await self._step(transaction, name, wanted)
            except AlreadyExists:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                if done:
                    _log.info(f"foundation model {done}", extra=log_fields(endpoint=name))
                return

    async def _step(self, transaction: Transaction, name: str, wanted: _Wanted | None) -> str:
        """Make one endpoint what it should be; return what was done, empty: nothing."""
        await records.lock(transaction.session, name)
        record = await records.find(transaction.session, name)
        if wanted is None:
            return await _remove(transaction, record)
        if record is None:
            await self._begin(transaction, await self._insert(transaction, name), 1, wanted)
            return "added"
        if not record.is_foundation:
            raise ValueError(
                f"MODELPLANE_FOUNDATION_MODELS: '{name}' is an endpoint of somebody; delete it"
            )
        if _is(record, wanted):
            return ""
        if record.phase is not Phase.SETTLED:
            await changes.cancel_rollout(transaction, record, self._clock())
        await self._begin(transaction, record.id, record.last_version + 1, wanted)
        return "changed"

    async def _insert(self, transaction: Transaction, name: str) -> str:
        new = NewEndpoint(
            id=self._new_id(),
            name=name,
            creator="",
            creator_id="",
            created_ms=self._clock(),
            settings=EndpointSettings(),
            grants={USERS_ID: Level.CAN_QUERY},
        )
        await changes.insert(transaction, new)
        return new.id

    async def _begin(
        self, transaction: Transaction, endpoint_id: str, version: int, wanted: _Wanted
    ) -> None:
        config = EndpointConfig()
        config.CopyFrom(wanted.config)
        config.config_version = version
        now_ms = self._clock()
        for entity in config.served_entities:
            entity.creation_timestamp = now_ms
        new = NewVersion(
            config=config,
            creator="",
            created_ms=now_ms,
            credentials={},
            references=(),
            hosted=assign_groups(endpoint_id, config, wanted.hosted),
            proven=True,
        )
        await changes.begin_rollout(transaction, endpoint_id, new)


async def _remove(transaction: Transaction, record: StoredEndpoint | None) -> str:
    if record is None or not record.is_foundation:
        return ""
    await changes.remove(transaction, record.id)
    return "removed"


def _is(record: StoredEndpoint, wanted: _Wanted) -> bool:
    """Tell whether an endpoint serves what it should, or is about to."""
    settled = record.phase is Phase.SETTLED
    if settled and record.last_update is LastUpdate.FAILED:
        return False
    current = record.active if settled else record.pending
    if current is None:
        return False
    config = EndpointConfig()
    config.CopyFrom(current.config)
    config.ClearField("config_version")
    for entity in config.served_entities:
        entity.ClearField("creation_timestamp")
    hosted = assign_groups(record.id, wanted.config, wanted.hosted)
    return config == wanted.config and list(current.hosted) == hosted


def _build_config(model: catalogue_model.FoundationModel) -> EndpointConfig:
    entity = ServedEntity(
        name=model.name,
        entity_name=model.entity,
        workload_size=model.workload_size,
        workload_type=model.workload_type,
        scale_to_zero_enabled=model.scale_to_zero_enabled,
        type=FOUNDATION_MODEL,
        foundation_model=_show(model),
    )
    entity.entity_version.string_value = VERSION
    config = EndpointConfig(served_entities=[entity])
    config.traffic_config.routes.append(
        Route(served_model_name=model.name, served_entity_name=model.name, traffic_percentage=100)
    )
    return config


def _show(model: catalogue_model.FoundationModel) -> FoundationModel:
    has_price = bool(model.price or model.input_price)
    return FoundationModel(
        name=model.entity,
        display_name=model.display_name or model.name,
        docs=model.docs,
        description=model.description,
        price=model.price or None,
        input_price=model.input_price or None,
        price_unit=model.price_unit if has_price else None,
        pricing_model=_PRICING,
        api_types=_API_TYPES[model.task],
        ai_gateway_v2_supported=True,
    )
