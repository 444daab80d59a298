"""Further names of endpoints, which clients may ask by: the tag `aliases`.

Before: `changes` claims them, `snapshots.builder` hands them to workers. After: `tables`. The rows
are there so that no two endpoints have one alias; what counts is the tag.
"""

import re
from collections.abc import Iterable, Sequence

from modelserving.v1.endpoint_pb2 import EndpointTag
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select

from modelplane.control_plane.errors import AlreadyExists
from modelplane.control_plane.store.database import Transaction
from modelplane.control_plane.store.tables import EndpointAliasRow, EndpointRow

TAG = "aliases"
_SEPARATOR = re.compile(r"[,\s]+")


def aliases_of(tags: Iterable[EndpointTag]) -> tuple[str, ...]:
    """Return the aliases that an endpoint with these tags has, each once."""
    value = next((tag.value for tag in tags if tag.key == TAG), "")
    return tuple(dict.fromkeys(filter(None, _SEPARATOR.split(value))))


async def claim(transaction: Transaction, endpoint_id: str, aliases: Sequence[str]) -> None:
    """Give an endpoint these aliases, in place of those that it had.

    Raises:
        AlreadyExists: Another endpoint has one, or is called so.
    """
    session = transaction.session
    own = col(EndpointAliasRow.endpoint_id) == endpoint_id
    await session.exec(delete(EndpointAliasRow).where(own))
    if not aliases:
        return
    taken = select(EndpointAliasRow.alias).where(col(EndpointAliasRow.alias).in_(aliases))
    called = select(EndpointRow.name).where(
        col(EndpointRow.name).in_(aliases), col(EndpointRow.id) != endpoint_id
    )
    for query in (taken, called):
        if found := (await session.exec(query)).first():
            raise _taken(found)
    session.add_all(EndpointAliasRow(alias=alias, endpoint_id=endpoint_id) for alias in aliases)
    try:
        await session.flush()
    except IntegrityError as error:
        # Another transaction was faster.
        raise _taken(aliases[0]) from error


async def require_free(transaction: Transaction, name: str) -> None:
    """Check that a new endpoint's name is no other one's alias.

    Raises:
        AlreadyExists: It is.
    """
    query = select(EndpointAliasRow.alias).where(col(EndpointAliasRow.alias) == name)
    if (await transaction.session.exec(query)).first():
        raise AlreadyExists(f"'{name}' is an alias of another endpoint; choose another name.")


def _taken(alias: str) -> AlreadyExists:
    return AlreadyExists(
        f"Alias '{alias}' is the name or an alias of another endpoint; choose another one."
    )
