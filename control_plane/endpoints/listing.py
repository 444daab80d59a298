"""Which endpoints a list holds: those that the caller may see and asks for.

Before: `lifecycle`, `servicer`. After: `store.endpoints.records`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from modelserving.v1.endpoint_service_pb2 import ListServingEndpointsRequest

from modelplane.control_plane.access import level_of
from modelplane.control_plane.endpoints.pages import limit_of
from modelplane.control_plane.endpoints.tasks import task_of
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database, is_storable
from modelplane.control_plane.store.endpoints import records
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.states import LastUpdate, Phase

IN_PROGRESS = "IN_PROGRESS"
# Instead of a provider: what the deployment runs itself.
HOSTED = "hosted"
# As many characters as a name may have, and as anything else that is compared.
_MAX_SEARCH = 63
_MAX_LENGTH = 512
_CHOICES = {
    "ready": ("READY", "NOT_READY"),
    "config_update": (LastUpdate.NOT_UPDATING, IN_PROGRESS, LastUpdate.FAILED, LastUpdate.CANCELED),
}
_COMPARED = ("task", "provider", "tag")


@dataclass(frozen=True, slots=True)
class Listing:
    """What is asked for.

    Attributes:
        after: Only endpoints that come after the one of this name.
        limit: How many are wanted; one more tells that there are more. None: all.
        search: Only those whose name contains this, whatever its case.
        creator: Only those of this principal; empty: of all.
        filters: Values that they must have, by `ready`, `config_update`, `task`, `provider`, `tag`.
    """

    after: str = ""
    limit: int | None = None
    search: str = ""
    creator: str = ""
    filters: tuple[tuple[str, str], ...] = ()


ALL = Listing()


def read_listing(request: ListServingEndpointsRequest) -> Listing:
    """Return what a request asks for.

    Raises:
        InvalidParameter: A parameter is none that a list can be asked for.
    """
    given = {field.name: value for field, value in request.ListFields()}
    _check_text("search", request.search, _MAX_SEARCH)
    for name in (*_COMPARED, "creator"):
        _check_text(name, given.get(name, ""), _MAX_LENGTH)
    for name, choices in _CHOICES.items():
        if name in given and given[name] not in choices:
            raise InvalidParameter(f"'{name}' must be one of {', '.join(choices)}.")
    filters = [(name, given[name]) for name in (*_CHOICES, *_COMPARED) if given.get(name)]
    return Listing(
        request.page_token, limit_of(request), request.search, request.creator, tuple(filters)
    )


async def list_endpoints(
    database: Database, principal: Principal, listing: Listing
) -> list[StoredEndpoint]:
    """Return the endpoints that the principal may see, those of the catalogue first, by name."""

    def visible(grants: Mapping[str, Level]) -> bool:
        return level_of(principal, grants) > Level.NONE

    def passes(record: StoredEndpoint) -> bool:
        return all(_has(record, name, value) for name, value in listing.filters)

    async with database.read() as session:
        return await records.list_all(
            session,
            visible,
            after=listing.after,
            most=None if listing.limit is None else listing.limit + 1,
            search=listing.search.lower(),
            creator=listing.creator,
            passes=passes if listing.filters else None,
        )


def _check_text(name: str, value: str, most: int) -> None:
    if len(value) > most:
        raise InvalidParameter(
            f"'{name}' has {len(value)} characters, and nothing that it could be more than {most}."
        )
    if not is_storable(value):
        raise InvalidParameter(f"'{name}' must not hold the NUL character.")


def _has(record: StoredEndpoint, name: str, value: str) -> bool:
    match name:
        case "ready":
            return record.ready is (value == "READY")
        case "config_update":
            return value == _update_of(record)
        case "task":
            return record.newest is not None and task_of(record.newest) == value
        case "provider":
            return value in _providers_of(record)
        case _:
            key, separator, wanted = value.partition("=")
            return any(
                tag.key == key and (not separator or tag.value == wanted)
                for tag in record.settings.tags
            )


def _update_of(record: StoredEndpoint) -> str:
    if record.is_foundation:
        return LastUpdate.NOT_UPDATING
    return IN_PROGRESS if record.phase is not Phase.SETTLED else record.last_update


def _providers_of(record: StoredEndpoint) -> set[str]:
    entities = record.newest.config.served_entities if record.newest else ()
    return {
        entity.external_model.provider if entity.HasField("external_model") else HOSTED
        for entity in entities
    }
