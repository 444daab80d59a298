"""What parameters of SCIM beside a filter ask for: a choice of attributes, and an order.

Before: `scim_servicer`. Beside: `scim`, for filters and pages. Source: RFC 7644, sections 3.9
and 3.4.2.3.
"""

from typing import TypeVar

from google.protobuf.message import Message

from modelplane.control_plane.errors import InvalidParameter

M = TypeVar("M", bound=Message)

_ALWAYS = {"id", "schemas"}


def select(resource: M, attributes: str, excluded: str) -> M:
    """Return a resource with only what was asked for; a part of an attribute brings all of it.

    Args:
        resource: The resource, which is changed.
        attributes: Names with commas; empty: everything is asked for.
        excluded: Names with commas of what is left out.
    """
    wanted, unwanted = _names(attributes), _names(excluded)
    for field, _ in resource.ListFields():
        name = field.json_name.lower()
        asked = not wanted or name in {item.partition(".")[0] for item in wanted}
        if name not in _ALWAYS and (not asked or name in unwanted):
            resource.ClearField(field.name)
    return resource


def check_order(sort_by: str, sort_order: str, ordered_by: str) -> None:
    """Check that the order that is asked for is the one that results have.

    Raises:
        InvalidParameter: It is another one.
    """
    if _short(sort_by) not in ("", ordered_by.lower()):
        raise InvalidParameter(
            f"sortBy '{sort_by[:100]}' is not available in this release; results are ordered by "
            f"{ordered_by}."
        )
    if sort_order.lower() not in ("", "ascending"):
        raise InvalidParameter(
            f"sortOrder '{sort_order[:100]}' is not available in this release; results ascend."
        )


def _names(text: str) -> set[str]:
    return {_short(name) for name in text.split(",") if name.strip()}


def _short(name: str) -> str:
    """Return a name of an attribute without its schema, in lower case."""
    return name.strip().rpartition(":")[2].lower()
