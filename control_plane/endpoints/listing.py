"""Which endpoints a list holds: those that the caller may see and asks for.

Before: `lifecycle`, `servicer`. After: `store.endpoints.lists`, `recent_calls`.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from modelserving.v1.endpoint_pb2 import ServingEndpoint
from modelserving.v1.endpoint_service_pb2 import ListServingEndpointsRequest

from modelplane.control_plane.access import level_of
from modelplane.control_plane.endpoints.pages import bad_token, limit_of
from modelplane.control_plane.endpoints.tasks import task_of
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.store.database import Database, is_storable
from modelplane.control_plane.store.endpoints import lists
from modelplane.control_plane.store.endpoints.lists import Order, OrderBy, Place, Selection
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
_ORDERS = {
    "name": OrderBy.NAME,
    "creator": OrderBy.CREATOR,
    "creation_timestamp": OrderBy.CREATED,
    "last_updated_timestamp": OrderBy.UPDATED,
}
_DESCENDING = " desc"
_MAX_TOKEN = 1_024
# Begins a token of a list in an order, which tells of it; without one a token is a name.
_ORDERED = "."
# PostgreSQL has no room for it.
_NO_BIGINT = 2**63


@dataclass(frozen=True, slots=True)
class Listing:
    """What is asked for.

    Attributes:
        after: Only endpoints that come after this place; None: from the first one on.
        limit: How many are wanted; one more tells that there are more. None: all.
        search: Only those whose name contains this, whatever its case.
        creator: Only those of this principal; empty: of all.
        filters: Values that they must have, by `ready`, `config_update`, `task`, `provider`, `tag`.
        order: In which order.
        counted: Whether it is told how many there are on all pages.
        recent: Whether their recent calls are told.
    """

    after: Place | None = None
    limit: int | None = None
    search: str = ""
    creator: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    order: Order = Order()  # noqa: RUF009 - a value
    counted: bool = False
    recent: bool = False

    def token_of(self, endpoint: ServingEndpoint) -> str:
        """Return the token of what follows an endpoint."""
        value: str | int
        match self.order.by:
            case OrderBy.CATALOGUE:
                return endpoint.name
            case OrderBy.NAME:
                value = ""
            case OrderBy.CREATOR:
                value = endpoint.creator
            case OrderBy.CREATED:
                value = int(endpoint.creation_timestamp)
            case OrderBy.UPDATED:
                value = int(endpoint.last_updated_timestamp)
        place = orjson.dumps([_text_of(self.order), value, endpoint.name])
        return _ORDERED + base64.urlsafe_b64encode(place).decode()


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
    order, limit = _read_order(request.order_by), limit_of(request)
    if request.include_recent and limit is None:
        raise InvalidParameter(
            "'include_recent' is told of a page; ask for one with 'max_results'."
        )
    return Listing(
        _read_token(request.page_token, order),
        limit,
        request.search,
        request.creator,
        tuple(filters),
        order,
        counted=limit is not None and not filters,
        recent=request.include_recent,
    )


async def list_endpoints(
    database: Database, principal: Principal, listing: Listing
) -> list[StoredEndpoint]:
    """Return the endpoints that the principal may see, in the order that is asked for."""

    def passes(record: StoredEndpoint) -> bool:
        return all(_has(record, name, value) for name, value in listing.filters)

    async with database.read() as session:
        return await lists.list_all(
            session,
            _selection(principal, listing),
            after=listing.after,
            most=None if listing.limit is None else listing.limit + 1,
            order=listing.order,
            passes=passes if listing.filters else None,
        )


async def count_endpoints(database: Database, principal: Principal, listing: Listing) -> int | None:
    """Return how many endpoints the principal may see on all pages; None: that is not told."""
    if not listing.counted:
        return None
    async with database.read() as session:
        return await lists.count(session, _selection(principal, listing))


def _selection(principal: Principal, listing: Listing) -> Selection:
    def visible(grants: Mapping[str, Level]) -> bool:
        return level_of(principal, grants) > Level.NONE

    grantees = None if principal.admin else {principal.id, *principal.group_ids}
    return Selection(visible, grantees, listing.search.lower(), listing.creator)


def _read_order(text: str) -> Order:
    if not text:
        return Order()
    name = text.removesuffix(_DESCENDING)
    if name not in _ORDERS:
        raise InvalidParameter(
            f"'order_by' must be one of {', '.join(_ORDERS)}, or one of them and '{_DESCENDING}'."
        )
    return Order(_ORDERS[name], descending=name != text)


def _text_of(order: Order) -> str:
    """Return what asks for an order that is not the catalogue's."""
    name = next(name for name, by in _ORDERS.items() if by is order.by)
    return name + _DESCENDING if order.descending else name


def _read_token(token: str, order: Order) -> Place | None:
    """Return the place that a token stands for."""
    _check_text("page_token", token, _MAX_TOKEN)
    if not token:
        return None
    if token.startswith(_ORDERED) is (order.by is OrderBy.CATALOGUE):
        raise bad_token()
    if order.by is OrderBy.CATALOGUE:
        return Place(token)
    try:
        text, value, name = orjson.loads(base64.urlsafe_b64decode(token.removeprefix(_ORDERED)))
    except (ValueError, TypeError, binascii.Error):
        raise bad_token() from None
    if text != _text_of(order):
        raise bad_token()
    wanted = int if order.by in (OrderBy.CREATED, OrderBy.UPDATED) else str
    if type(value) is not wanted or not isinstance(name, str) or not is_storable(f"{value}{name}"):
        raise bad_token()
    if isinstance(value, int) and abs(value) >= _NO_BIGINT:
        raise bad_token()
    return Place(name, value)


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
