"""Statements that change endpoints.

Before: `endpoints.lifecycle`. After: `tables`, `codec`. Beside: `records`, which reads them, and
`rollouts`, which moves a rollout on.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from modelserving.store.v1.hosting_pb2 import HostedModel, HostedModels
from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.endpoint_pb2 import EndpointConfig
from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select, update

from modelplane.control_plane.errors import AlreadyExists
from modelplane.control_plane.principal import Level
from modelplane.control_plane.store import codec
from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.endpoints import aliases, change_log, rollout_records
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.hosting import groups, version_groups
from modelplane.control_plane.store.secrets.scopes import SecretName
from modelplane.control_plane.store.states import (
    ChangeKind,
    EventKind,
    LastUpdate,
    Outcome,
    Phase,
)
from modelplane.control_plane.store.tables import (
    CredentialRow,
    EndpointConfigRow,
    EndpointRow,
    SecretReferenceRow,
)


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """An endpoint to store.

    Attributes:
        grants: Levels by identifiers of principals and groups; None: its creator manages it.
    """

    id: str
    name: str
    creator: str
    creator_id: str
    created_ms: int
    settings: EndpointSettings
    grants: Mapping[str, Level] | None = None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to store and roll out.

    Attributes:
        config: The configuration, its version included.
        creator: Name of who made it.
        created_ms: Time of creation, milliseconds since the epoch.
        credentials: Sealed credentials by path.
        references: Secrets that the configuration refers to.
        hosted: What its hosted entities mean, one for each.
        proven: Whether it serves before its models have been started once, which are loaded when
            they are asked.
    """

    config: EndpointConfig
    creator: str
    created_ms: int
    credentials: Mapping[str, bytes]
    references: Collection[SecretName]
    hosted: Sequence[HostedModel] = ()
    proven: bool = False


async def insert(transaction: Transaction, endpoint: NewEndpoint) -> None:
    """Store a new endpoint without a configuration.

    Raises:
        AlreadyExists: The name is taken, or an alias is.
    """
    row = EndpointRow(
        id=endpoint.id,
        name=endpoint.name,
        creator=endpoint.creator,
        creator_id=endpoint.creator_id,
        grants_json=codec.encode_levels(
            {endpoint.creator_id: Level.CAN_MANAGE} if endpoint.grants is None else endpoint.grants
        ),
        created_ms=endpoint.created_ms,
        updated_ms=endpoint.created_ms,
        settings=endpoint.settings.SerializeToString(),
    )
    transaction.session.add(row)
    try:
        await transaction.session.flush()
    except IntegrityError as error:
        raise AlreadyExists(
            f"Endpoint with name '{endpoint.name}' already exists; choose another name."
        ) from error
    await aliases.require_free(transaction, endpoint.name)
    await aliases.claim(transaction, endpoint.id, aliases.aliases_of(endpoint.settings.tags))
    await change_log.note(transaction, endpoint.id, ChangeKind.CREATED)


async def count(session: Session, creator_id: str | None) -> int:
    """Return how many endpoints a principal has made; None: how many there are."""
    query = select(func.count()).select_from(EndpointRow)
    if creator_id is not None:
        query = query.where(col(EndpointRow.creator_id) == creator_id)
    return (await session.exec(query)).one()


async def prune_versions(
    transaction: Transaction, endpoint_id: str, newest: int, keep: int
) -> None:
    """Delete the oldest versions of an endpoint beyond `keep`, but for those that it serves.

    Their credentials go with them.
    """
    if newest <= keep:
        return
    endpoint = await transaction.session.get_one(EndpointRow, endpoint_id, populate_existing=True)
    serving = (endpoint.active_version, endpoint.pending_version)
    used = [number for number in serving if number is not None]
    oldest = newest - keep
    for table in (CredentialRow, EndpointConfigRow):
        numbered = col(table.version)
        await transaction.session.exec(
            delete(table).where(
                col(table.endpoint_id) == endpoint_id,
                numbered.between(1, oldest),
                numbered.not_in(used),
            )
        )


async def begin_rollout(transaction: Transaction, endpoint_id: str, new: NewVersion) -> int:
    """Store a version and begin to roll it out; return the revision."""
    session, version = transaction.session, new.config.config_version
    session.add(
        EndpointConfigRow(
            endpoint_id=endpoint_id,
            version=version,
            config=new.config.SerializeToString(),
            hosted=HostedModels(models=new.hosted).SerializeToString(),
            creator=new.creator,
            created_ms=new.created_ms,
        )
    )
    await session.flush()
    session.add_all(
        CredentialRow(endpoint_id=endpoint_id, version=version, path=path, sealed=sealed)
        for path, sealed in new.credentials.items()
    )
    session.add_all(
        SecretReferenceRow(endpoint_id=endpoint_id, version=version, scope=scope, key=key)
        for scope, key in new.references
    )
    await session.flush()
    await _update(
        transaction,
        endpoint_id,
        last_version=version,
        pending_version=version,
        phase=Phase.PREPARING,
        last_update=LastUpdate.NOT_UPDATING,
        last_update_message="",
        updated_ms=new.created_ms,
    )
    # Workers know the groups before the version that needs them.
    await version_groups.ensure(
        transaction, endpoint_id, new.config, new.hosted, new.created_ms, proven=new.proven
    )
    revision = await transaction.revise(EventKind.ENDPOINT, endpoint_id)
    await _update(transaction, endpoint_id, phase_revision=revision)
    await rollout_records.begin(transaction, endpoint_id, version, revision)
    await change_log.note(transaction, endpoint_id)
    # Of the version that failed before.
    await version_groups.settle(transaction, endpoint_id)
    return revision


async def cancel_rollout(transaction: Transaction, record: StoredEndpoint, now_ms: int) -> int:
    """End the rollout of `record`, whose row is locked, without success; return the revision."""
    version = record.pending.version if record.pending else 0
    # Before the revision, see `groups.lock`.
    await groups.lock_of_endpoint(transaction, record.id)
    # While its groups are there.
    await rollout_records.note_end(transaction, (record.id, version), now_ms)
    await transaction.session.exec(
        update(EndpointConfigRow)
        .where(
            col(EndpointConfigRow.endpoint_id) == record.id,
            col(EndpointConfigRow.version) == version,
        )
        .values(outcome=Outcome.CANCELED)
    )
    await _update(
        transaction,
        record.id,
        phase=Phase.SETTLED,
        pending_version=None,
        last_update=LastUpdate.CANCELED,
        last_update_message="",
    )
    revision = await transaction.revise(EventKind.ENDPOINT, record.id)
    await change_log.note(transaction, record.id)
    await version_groups.settle(transaction, record.id)
    return revision


async def stop(transaction: Transaction, endpoint_id: str) -> int:
    """End what serves the active version, which stays what it is; return the revision."""
    await _update(transaction, endpoint_id, stopped=True)
    # Before the revision, see `groups.lock`.
    await groups.lock_of_endpoint(transaction, endpoint_id)
    # Workers send nothing more before the processes are told to end.
    revision = await transaction.revise(EventKind.ENDPOINT, endpoint_id)
    await change_log.note(transaction, endpoint_id)
    await version_groups.settle(transaction, endpoint_id)
    return revision


async def remove(transaction: Transaction, endpoint_id: str) -> int:
    """Delete an endpoint with its versions and credentials; return the revision."""
    gone = await groups.ids_of_endpoint(transaction.session, endpoint_id)
    await change_log.note(transaction, endpoint_id, ChangeKind.DELETED)
    await transaction.session.exec(delete(EndpointRow).where(col(EndpointRow.id) == endpoint_id))
    if gone:
        await transaction.revise_all(EventKind.GROUP, gone)
    return await transaction.revise(EventKind.ENDPOINT, endpoint_id)


async def set_grants(
    transaction: Transaction, endpoint_id: str, grants: Mapping[str, Level]
) -> int:
    """Replace who may do what, by identifiers of principals and groups; return the revision."""
    text = codec.encode_levels(grants)
    # Those are told who may not see it any more, too.
    await change_log.note(transaction, endpoint_id)
    await _update(transaction, endpoint_id, grants_json=text)
    await change_log.note(transaction, endpoint_id)
    return await transaction.revise(EventKind.ENDPOINT, endpoint_id)


async def set_settings(
    transaction: Transaction, endpoint_id: str, settings: EndpointSettings, now_ms: int = 0
) -> None:
    """Replace the settings; where workers hold what changed, it takes a revision, too.

    Args:
        transaction: Stores them.
        endpoint_id: The endpoint.
        settings: All of them.
        now_ms: Time of the change, milliseconds since the epoch; 0: it is not told as one.
    """
    told = {"updated_ms": now_ms} if now_ms else {}
    await _update(transaction, endpoint_id, settings=settings.SerializeToString(), **told)
    await change_log.note(transaction, endpoint_id)


async def _update(transaction: Transaction, endpoint_id: str, **values: object) -> None:
    await transaction.session.exec(
        update(EndpointRow).where(col(EndpointRow.id) == endpoint_id).values(**values)
    )
