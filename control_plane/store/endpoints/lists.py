"""Lists of endpoints: those that a caller may see, in an order, from a place on.

Lists are read in parts that begin where the one before has ended, so that a page of many thousands
costs what it holds. Before: `endpoints.listing`. After: `records`, `tables`.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, collate, func, or_, tuple_
from sqlmodel import col, select

from modelplane.adapters.registries.foundation_model import NAME_PREFIX
from modelplane.control_plane.principal import Level
from modelplane.control_plane.store import codec
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.endpoints.records import StoredEndpoint, read_where
from modelplane.control_plane.store.tables import EndpointRow

# Endpoints that are read at a time: thousands of rows at once would hold up every other call.
_PART = 500
# Of a caller with more groups, only the rows themselves tell what it may see.
_MOST_GRANTEES = 100
# The first name that comes after all with the prefix.
_AFTER_PREFIX = NAME_PREFIX[:-1] + chr(ord(NAME_PREFIX[-1]) + 1)

Grants: TypeAlias = Mapping[str, Level]
Wanted: TypeAlias = Callable[[Grants], bool]
_Condition: TypeAlias = ColumnElement[bool]


class OrderBy(StrEnum):
    """What a list can be ordered by; those that are equal are by name."""

    # Those of the catalogue first, then by name.
    CATALOGUE = ""
    NAME = "name"
    CREATOR = "creator"
    CREATED = "created_ms"
    UPDATED = "updated_ms"


@dataclass(frozen=True, slots=True)
class Order:
    """An order.

    Attributes:
        by: Which.
        descending: Whether it goes the other way.
    """

    by: OrderBy = OrderBy.CATALOGUE
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where an endpoint stands in a list.

    Attributes:
        name: Its name.
        value: What the list is ordered by, of this endpoint; with a name alone, that is unused.
    """

    name: str
    value: str | int = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which endpoints.

    Attributes:
        wanted: Tells by the grants of an endpoint whether it is.
        grantees: Only those can be in whose grants one of these identifiers is; None: any can.
        search: Only those whose name contains this, in small letters.
        creator: Only those that a principal of this name has made; empty: of all.
    """

    wanted: Wanted
    grantees: Collection[str] | None = None
    search: str = ""
    creator: str = ""

    def conditions(self) -> list[_Condition]:
        """Return what holds for each of their rows; it may hold for others, too."""
        found: list[_Condition] = []
        if self.search:
            found.append(func.lower(EndpointRow.name).contains(self.search, autoescape=True))
        if self.creator:
            found.append(col(EndpointRow.creator) == self.creator)
        if self.grantees is not None and len(self.grantees) <= _MOST_GRANTEES:
            grants = col(EndpointRow.grants_json)
            named = (f'"{grantee}":' for grantee in sorted(self.grantees))
            found.append(or_(*(grants.contains(key, autoescape=True) for key in named)))
        return found


async def list_all(
    session: Session,
    selection: Selection,
    *,
    after: Place | None = None,
    most: int | None = None,
    order: Order = Order(),
    passes: Callable[[StoredEndpoint], bool] | None = None,
) -> list[StoredEndpoint]:
    """Return endpoints in an order.

    Args:
        session: Where to read.
        selection: Which.
        after: Only those that come after one that stands, or stood, here.
        most: How many at most; None: all.
        order: In which order.
        passes: Tells whether an endpoint is one of them; None: each is.
    """
    found: list[StoredEndpoint] = []
    size = _PART if most is None or passes else min(_PART, most)
    if most == 0:
        return found
    async for part in _parts(session, selection.conditions(), after, order, size):
        seen = [item for item in part if selection.wanted(item.grants)]
        found += [item for item in seen if passes is None or passes(item)]
        if most is not None and len(found) >= most:
            return found[:most]
    return found


async def count(session: Session, selection: Selection) -> int:
    """Return how many endpoints there are."""
    # Many endpoints are granted to the same teams.
    query = select(EndpointRow.grants_json, func.count()).where(*selection.conditions())
    rows = (await session.exec(query.group_by(col(EndpointRow.grants_json)))).all()
    return sum(
        number for text, number in rows if selection.wanted(codec.decode_levels(text, Level))
    )


async def manages_any(session: Session, grantees: Collection[str]) -> bool:
    """Tell whether one of these identifiers has CAN_MANAGE on an endpoint."""
    ids = sorted(grantees)
    grants = col(EndpointRow.grants_json)
    for start in range(0, len(ids), _MOST_GRANTEES):
        # As `codec` writes it.
        keys = (f'"{one}":"{Level.CAN_MANAGE.name}"' for one in ids[start : start + _MOST_GRANTEES])
        held = or_(*(grants.contains(key, autoescape=True) for key in keys))
        if (await session.exec(select(EndpointRow.id).where(held).limit(1))).first():
            return True
    return False


async def _parts(
    session: Session,
    conditions: list[_Condition],
    after: Place | None,
    order: Order,
    size: int,
) -> AsyncIterator[list[StoredEndpoint]]:
    """Yield what is in a list, in parts of at most `size`."""
    keys = _keys(session, order)
    directions = [key.desc() if order.descending else key.asc() for key in keys]
    for bounds, start in _stretches(_exact(session, EndpointRow.name), order, after):
        place = start
        while True:
            beyond = [_beyond(keys, place, order)] if place else []
            query = [*conditions, *bounds, *beyond]
            part = await read_where(session, query, directions, size)
            yield part
            if len(part) < size:
                break
            place = _place_of(part[-1], order)


def _stretches(
    name: ColumnElement[str], order: Order, after: Place | None
) -> list[tuple[list[_Condition], Place | None]]:
    """Return the stretches that a list consists of, each with where to begin in it."""
    if order.by is not OrderBy.CATALOGUE:
        return [([], after)]
    # Only those of the catalogue have the prefix.
    first = [name >= NAME_PREFIX, name < _AFTER_PREFIX]
    rest: list[_Condition] = [or_(name < NAME_PREFIX, name >= _AFTER_PREFIX)]
    if after is not None and not after.name.startswith(NAME_PREFIX):
        return [(rest, after)]
    return [(first, after), (rest, None)]


def _keys(session: Session, order: Order) -> list[ColumnElement[Any]]:
    name = _exact(session, EndpointRow.name)
    match order.by:
        case OrderBy.CATALOGUE | OrderBy.NAME:
            return [name]
        case OrderBy.CREATOR:
            return [_exact(session, EndpointRow.creator), name]
        case OrderBy.CREATED | OrderBy.UPDATED:
            return [getattr(EndpointRow, order.by), name]


def _beyond(keys: list[ColumnElement[Any]], place: Place, order: Order) -> _Condition:
    values = (place.name,) if len(keys) == 1 else (place.value, place.name)
    left, right = tuple_(*keys), tuple_(*values)
    return left < right if order.descending else left > right


def _place_of(record: StoredEndpoint, order: Order) -> Place:
    named = order.by in (OrderBy.CATALOGUE, OrderBy.NAME)
    return Place(record.name, "" if named else getattr(record, order.by))


def _exact(session: Session, column: Any) -> ColumnElement[str]:  # noqa: ANN401 - a column
    """Compare by bytes, as SQLite does by itself: PostgreSQL goes by its language."""
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    exact: ColumnElement[str] = collate(column, "C") if is_postgresql else column
    return exact
