"""The logs of hosted models, for those who manage their endpoints.

They hold what the model's authors print, and parts of queries with it. Before: `servicer`. After:
`lookup`, `store.hosting.logs`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from modelplane.control_plane.endpoints.lookup import find_endpoint
from modelplane.control_plane.endpoints.validation import is_external
from modelplane.control_plane.errors import InvalidParameter, NotFound
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database, Session
from modelplane.control_plane.store.endpoints import records
from modelplane.control_plane.store.endpoints.records import StoredEndpoint, StoredVersion
from modelplane.control_plane.store.hosting.logs import read_log
from modelplane.control_plane.store.states import LogKind


@dataclass(frozen=True, slots=True)
class WantedLog:
    """Whose log is wanted, and by whom.

    Attributes:
        principal: Who asks.
        endpoint: Name of the endpoint.
        entity: Name of the served entity.
        version: Version of the configuration; None: the newest that has the entity.
    """

    principal: Principal
    endpoint: str
    entity: str
    version: int | None


class ModelLogs:
    """Reads the logs of hosted models."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, wanted: WantedLog, kind: LogKind) -> str:
        """Return the end of a log; empty when nothing has been said yet.

        Raises:
            NotFound: There is no such endpoint, version or entity, or its log is no longer kept.
            PermissionDenied: The principal does not manage the endpoint.
            InvalidParameter: The entity is not hosted here.
        """
        async with self._database.read() as session:
            record = await find_endpoint(
                session, wanted.principal, wanted.endpoint, Level.CAN_MANAGE
            )
            versions = await _versions(session, record, wanted)
            group_id = _group_of(versions, wanted)
            if group_id not in record.groups:
                raise NotFound(
                    f"The logs of served entity '{wanted.entity}' are no longer kept: what served "
                    "it has ended."
                )
            return await read_log(session, group_id, kind)


async def _versions(
    session: Session, record: StoredEndpoint, wanted: WantedLog
) -> list[StoredVersion]:
    if wanted.version is None:
        # The one that is or was rolled out is newer than the one that serves.
        return [version for version in (record.pending, record.active) if version]
    found = await records.find_version(session, record.id, wanted.version)
    if found is None:
        raise NotFound(
            f"Endpoint '{wanted.endpoint}' has no configuration version {wanted.version}."
        )
    return [found]


def _group_of(versions: list[StoredVersion], wanted: WantedLog) -> str:
    for version, name in _entities(versions):
        if name != wanted.entity:
            continue
        if is_external(version.config):
            raise InvalidParameter(
                f"Served entity '{name}' is an external model, which has no logs here."
            )
        for model in version.hosted:
            if model.served_entity_name == name:
                return model.group_id
    raise NotFound(
        f"Endpoint '{wanted.endpoint}' has no served entity '{wanted.entity[:200]}'; its served "
        f"entities are {', '.join(sorted({name for _, name in _entities(versions)}))}."
    )


def _entities(versions: list[StoredVersion]) -> Iterator[tuple[StoredVersion, str]]:
    return (
        (version, entity.name) for version in versions for entity in version.config.served_entities
    )
