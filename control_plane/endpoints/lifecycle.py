"""Use cases that make, roll out, and delete endpoints.

A change of configuration is stored as a new version that begins a rollout;
`snapshots.rollout_driver` moves it on as the workers prepare and activate it. Beside:
`setting_changes`, for what needs no rollout, and `config_history`.

Before: `servicer`. After: `config_input`, `settings`, `validation`, `secrets.credentials`,
`store.endpoints`.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from modelserving.store.v1.hosting_pb2 import HostedModel
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.endpoint_pb2 import EndpointConfig, EndpointConfigInput
from modelserving.v1.endpoint_service_pb2 import CreateServingEndpointRequest

from modelplane.adapters.shared.egress import EgressPolicy
from modelplane.adapters.shared.guardrail_rules import NO_JUDGES, DefaultJudges
from modelplane.control_plane.clock import Clock
from modelplane.control_plane.endpoints import listing as lists
from modelplane.control_plane.endpoints import lookup, payload_tables
from modelplane.control_plane.endpoints.config_input import build_config, build_traffic, drop_twin
from modelplane.control_plane.endpoints.gateway_rules import check_countable
from modelplane.control_plane.endpoints.kept_credentials import NOTHING, Kept, keep_credentials
from modelplane.control_plane.endpoints.listing import ALL, Listing
from modelplane.control_plane.endpoints.lookup import (
    find_endpoint,
    lock_endpoint,
    read_endpoint,
)
from modelplane.control_plane.endpoints.quotas import Quotas
from modelplane.control_plane.endpoints.settings import build_settings, check_named
from modelplane.control_plane.endpoints.unchanged import carry_over, is_served
from modelplane.control_plane.endpoints.validation import (
    check_change,
    check_config,
    check_endpoint_name,
    check_settled,
    check_traffic,
    check_upstreams,
    is_external,
)
from modelplane.control_plane.endpoints.views import CUSTOM_MODEL, EXTERNAL_MODEL
from modelplane.control_plane.errors import Conflict, InvalidParameter, NotFound
from modelplane.control_plane.hosting.free_capacity import FreeCapacity
from modelplane.control_plane.hosting.pinning import Pinning, assign_groups
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.rollout import Rollout
from modelplane.control_plane.secrets.credentials import CredentialVault, take_plaintexts
from modelplane.control_plane.secrets.encryption import SealBroken, Sealer
from modelplane.control_plane.secrets.references import SecretSource, require_secrets
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Database, Session, Transaction
from modelplane.control_plane.store.endpoints import changes, records
from modelplane.control_plane.store.endpoints.changes import NewEndpoint, NewVersion
from modelplane.control_plane.store.endpoints.records import StoredEndpoint, StoredVersion
from modelplane.control_plane.store.states import EventKind, Phase


@dataclass(frozen=True, slots=True, repr=False)
class _Draft:
    """A checked configuration, and the credentials that were given in it."""

    config: EndpointConfig
    plaintexts: Mapping[str, str]
    # Whether the endpoint serves all of this now, so that its references were checked before.
    known: bool = False
    # What its models mean, if they are hosted here.
    hosted: Sequence[HostedModel] = ()


class Endpoints:
    """Creates, reads, updates and deletes endpoints."""

    def __init__(  # noqa: PLR0913 - what they are is said once, where all is put together
        self,
        database: Database,
        sealer: Sealer,
        rollout: Rollout,
        clock: Clock,
        *,
        egress: EgressPolicy | None = None,
        source: SecretSource | None = None,
        quotas: Quotas | None = None,
        pinning: Pinning | None = None,
        free: FreeCapacity | None = None,
        tables: bool = False,
        judges: DefaultJudges = NO_JUDGES,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """Keep the collaborators.

        Args:
            database: Where endpoints are stored.
            sealer: Seals the credentials given with a configuration.
            rollout: Tells when the workers have followed.
            clock: The time.
            egress: Where providers may be; by default at public addresses only.
            quotas: How many endpoints and versions there may be.
            source: Reads secrets of other stores; None: there are none.
            pinning: Finds out what hosted models are; by default the deployment has none.
            free: What there is left to run them.
            tables: Whether the deployment writes payload tables.
            judges: Who judges where guardrails do not say who.
            new_id: Returns a new identifier: 32 hexadecimal digits.
        """
        self._database, self._vault = database, CredentialVault(sealer)
        self._rollout, self._clock, self._egress = rollout, clock, egress or EgressPolicy()
        self._source, self._new_id = source, new_id
        self._quotas, self._pinning = quotas or Quotas(), pinning or Pinning()
        self._free = free or FreeCapacity(database, SharedClock(clock))
        self._tables, self._judges = tables, judges

    async def create(
        self, principal: Principal, request: CreateServingEndpointRequest
    ) -> StoredEndpoint:
        """Create an endpoint and roll out its configuration, if it has one.

        Raises:
            InvalidParameter: The request breaks a rule.
            NotSupported: It asks for hosted models, and the deployment has none.
            AlreadyExists: The name is taken.
            QuotaExceeded: The principal, or the deployment, has as many as it may.
        """
        new = self._build_new(principal, request)
        draft, soon = None, True
        if request.HasField("config"):
            draft = self._draft(drop_twin(request.config, None), request.name)
            await self._fetch_secrets(principal, draft)
            draft = await self._pin(draft, (), new.settings.ai_gateway)
        async with self._database.write() as transaction:
            await self._quotas.check(transaction.session, principal)
            await changes.insert(transaction, new)
            await check_named(transaction.session, principal, new, self._judges)
            await payload_tables.claim(transaction.session, new, draft.config if draft else None)
            if draft:
                soon = await self._begin(transaction, principal, new.id, 1, draft)
            else:
                # Workers tell an endpoint that is not ready from one that does not exist.
                await transaction.revise(EventKind.ENDPOINT, new.id)
        return await self._settled(principal, new.id, new.name, soon=soon)

    async def get(self, principal: Principal, name: str) -> StoredEndpoint:
        """Return an endpoint.

        Raises:
            NotFound: There is none of that name.
        """
        return await read_endpoint(self._database, principal, name)

    async def get_managed(self, principal: Principal, name: str) -> StoredEndpoint:
        """Return an endpoint that the principal may change; see `lookup.read_changeable`."""
        return await lookup.read_changeable(self._database, principal, name)

    async def list_all(self, principal: Principal, listing: Listing = ALL) -> list[StoredEndpoint]:
        """Return the endpoints that the principal may see, and asks for."""
        return await lists.list_endpoints(self._database, principal, listing)

    async def count(self, principal: Principal, listing: Listing) -> int | None:
        """Return how many there are on all pages of a list; None: that is not told."""
        return await lists.count_endpoints(self._database, principal, listing)

    async def list_foundation(self, principal: Principal) -> list[StoredEndpoint]:
        """Return those of the catalogue of foundation models, ordered by name."""
        return await lookup.list_foundation(self._database, principal)

    async def update_config(
        self, principal: Principal, name: str, given: EndpointConfigInput
    ) -> StoredEndpoint:
        """Roll out a new configuration; with a traffic split alone, the present one with that.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: The configuration breaks a rule.
            Conflict: An update is in progress.
        """
        if given.served_entities and given.served_models:
            shown = (await self.get_managed(principal, name)).newest
            given = drop_twin(given, shown.config if shown else None)
        split_only = bool(given.traffic_config.routes) and not (
            given.served_entities or given.served_models or given.keep_credentials_of
        )
        kept = NOTHING
        if given.keep_credentials_of:
            kept = await self._read_kept(principal, name)
        draft = None if split_only else self._draft(given, name, kept)
        if draft:
            if not is_external(draft.config):
                draft = await self._pin_for(principal, name, draft)
            await self._fetch_secrets(principal, draft)
        async with self._database.write() as transaction:
            record = await self._lock_settled(transaction, principal, name)
            if draft is None:
                draft = await self._draft_split(transaction, record, given)
            if record.newest:
                check_change(record.newest.config, draft.config)
            carry_over(record, draft.config)
            await payload_tables.update(transaction.session, record, draft.config)
            number = record.last_version + 1
            soon = await self._begin(transaction, principal, record.id, number, draft)
        return await self._settled(principal, record.id, name, soon=soon)

    async def rollback(self, principal: Principal, name: str, version: int) -> StoredEndpoint:
        """Roll out the content of a past version as a new one.

        Raises:
            NotFound: There is no such endpoint or version.
            InvalidParameter: A secret that the version refers to is gone, or is not served now and
                the principal may not read it.
            Conflict: An update is in progress.
        """
        async with self._database.write() as transaction:
            record = await self._lock_settled(transaction, principal, name)
            past = await records.find_version(transaction.session, record.id, version)
            if past is None:
                raise NotFound(f"Endpoint '{name}' has no configuration version {version}.")
            draft = await self._draft_again(transaction, record.id, past)
            draft = replace(draft, known=is_served(record, draft.config))
            await payload_tables.update(transaction.session, record, draft.config)
            number = record.last_version + 1
            soon = await self._begin(transaction, principal, record.id, number, draft)
        return await self._settled(principal, record.id, name, soon=soon)

    async def start(self, principal: Principal, name: str) -> StoredEndpoint:
        """Roll out what a stopped endpoint served, as a new version.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: Its models do not fit, or a secret of theirs is gone.
            Conflict: It is not stopped, or an update is in progress.
        """
        async with self._database.write() as transaction:
            record = await self._lock_settled(transaction, principal, name)
            if not (record.stopped and record.active):
                raise Conflict(f"Endpoint '{name}' is not stopped.")
            draft = await self._draft_again(transaction, record.id, record.active)
            await self._begin(transaction, principal, record.id, record.last_version + 1, draft)
        return await self.get(principal, name)

    async def cancel_update(self, principal: Principal, name: str) -> StoredEndpoint:
        """Cancel the update in progress.

        Raises:
            NotFound: There is no such endpoint.
            Conflict: No update is in progress, or the workers are already switching over.
        """
        async with self._database.write() as transaction:
            record = await lock_endpoint(transaction, principal, name)
            if record.phase is Phase.SETTLED:
                raise Conflict(f"Endpoint '{name}' has no update in progress to cancel.")
            if record.phase is Phase.ACTIVATING:
                raise Conflict(
                    f"The update of endpoint '{name}' is already being activated and can no longer "
                    "be cancelled; roll back to the old version instead."
                )
            await changes.cancel_rollout(transaction, record, self._clock())
        return await self.get(principal, name)

    async def delete(self, principal: Principal, name: str) -> None:
        """Delete an endpoint with its versions and credentials.

        Raises:
            NotFound: There is no such endpoint.
        """
        async with self._database.write() as transaction:
            record = await lock_endpoint(transaction, principal, name)
            revision = await changes.remove(transaction, record.id)
        await self._rollout.wait_applied(revision)

    def _build_new(
        self, principal: Principal, request: CreateServingEndpointRequest
    ) -> NewEndpoint:
        check_endpoint_name(request.name)
        return NewEndpoint(
            id=self._new_id(),
            name=request.name,
            creator=principal.name,
            creator_id=principal.id,
            created_ms=self._clock(),
            settings=build_settings(request, tables=self._tables, judges=self._judges),
        )

    async def _read_kept(self, principal: Principal, name: str) -> Kept:
        async with self._database.read() as session:
            record = await find_endpoint(session, principal, name, Level.CAN_MANAGE)
            if record.active is None:
                return NOTHING
            opened = await self._open(session, record.id, record.active.version)
        return Kept(record.active.config, opened)

    def _draft(self, given: EndpointConfigInput, name: str, kept: Kept = NOTHING) -> _Draft:
        config = build_config(given)
        keep_credentials(config, given.keep_credentials_of, kept)
        payload_tables.complete_legacy(config, name, available=self._tables)
        check_config(config)
        check_upstreams(config, self._egress)
        return _Draft(config, take_plaintexts(config))

    async def _fetch_secrets(self, principal: Principal, draft: _Draft) -> None:
        # Before the transaction, which must not wait for another store.
        if self._source is not None:
            await self._source.fetch(principal, draft.config)

    async def _pin_for(self, principal: Principal, name: str, draft: _Draft) -> _Draft:
        # The registry is not asked for those who may not change the endpoint.
        record = await self.get_managed(principal, name)
        check_settled(name, updating=record.phase is not Phase.SETTLED)
        if record.newest:
            check_change(record.newest.config, draft.config)
        served = record.active.hosted if record.active else ()
        return await self._pin(draft, served, record.settings.ai_gateway)

    async def _pin(
        self, draft: _Draft, served: Sequence[HostedModel], gateway: AiGatewayConfig
    ) -> _Draft:
        if is_external(draft.config):
            return draft
        hosted = await self._pinning.pin(draft.config, served)
        check_countable(gateway, hosted)
        return replace(draft, hosted=hosted)

    async def _lock_settled(
        self, transaction: Transaction, principal: Principal, name: str
    ) -> StoredEndpoint:
        record = await lock_endpoint(transaction, principal, name)
        check_settled(name, updating=record.phase is not Phase.SETTLED)
        return record

    async def _draft_split(
        self, transaction: Transaction, record: StoredEndpoint, given: EndpointConfigInput
    ) -> _Draft:
        if record.active is None:
            raise InvalidParameter(
                f"Endpoint '{record.name}' serves nothing yet; send served_entities together with "
                "traffic_config."
            )
        draft = await self._draft_again(transaction, record.id, record.active)
        names = [entity.name for entity in draft.config.served_entities]
        draft.config.traffic_config.CopyFrom(build_traffic(given.traffic_config, names))
        check_traffic(draft.config)
        return draft

    async def _draft_again(
        self, transaction: Transaction, endpoint_id: str, past: StoredVersion
    ) -> _Draft:
        plaintexts = await self._open(transaction.session, endpoint_id, past.version)
        config = EndpointConfig()
        config.CopyFrom(past.config)
        return _Draft(config, plaintexts, known=True, hosted=past.hosted)

    async def _open(self, session: Session, endpoint_id: str, version: int) -> Mapping[str, str]:
        try:
            return await self._vault.open(session, endpoint_id, version)
        except SealBroken as error:
            raise Conflict(
                f"The credentials of version {version} cannot be opened with this "
                "deployment's master key; send a new configuration with its credentials."
            ) from error

    async def _begin(
        self,
        transaction: Transaction,
        principal: Principal,
        endpoint_id: str,
        version: int,
        draft: _Draft,
    ) -> bool:
        """Begin a rollout; return whether it may be over soon, since nothing has to start."""
        hosted = assign_groups(endpoint_id, draft.config, draft.hosted)
        soon = not hosted or await self._free.require(transaction.session, hosted)
        writer = None if draft.known else principal
        references = await require_secrets(transaction.session, writer, draft.config)
        now_ms = self._clock()
        draft.config.config_version = version
        for entity in draft.config.served_entities:
            entity.type = CUSTOM_MODEL if hosted else EXTERNAL_MODEL
            if not entity.HasField("creator"):
                entity.creator = principal.name
                entity.creation_timestamp = now_ms
        new = NewVersion(
            config=draft.config,
            creator=principal.name,
            created_ms=now_ms,
            credentials=await self._vault.seal(endpoint_id, version, draft.plaintexts),
            references=references,
            hosted=hosted,
        )
        await changes.begin_rollout(transaction, endpoint_id, new)
        await changes.prune_versions(transaction, endpoint_id, version, self._quotas.versions)
        return soon

    async def _settled(
        self, principal: Principal, endpoint_id: str, name: str, *, soon: bool
    ) -> StoredEndpoint:
        if soon:
            await self._rollout.wait_settled(endpoint_id)
        return await self.get(principal, name)
