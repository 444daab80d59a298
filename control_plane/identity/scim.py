"""The part of SCIM 2.0 (RFC 7644) that clients send: filters, pages and patches.

Attribute names are matched in upper and lower case alike, and what this deployment does not keep,
such as entitlements, is let pass. Before: `scim_servicer`, which hands the results to
`identities` and `groups`. Beside: `scim_query`, for other parameters of reads.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

import orjson
from google.protobuf.struct_pb2 import Value
from modelserving.v1.identity_pb2 import Patch, PatchOperation

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.store.identity.principals import Attribute, Page

Json: TypeAlias = bool | float | str | list["Json"] | dict[str, "Json"] | None

USER_COLUMNS = {
    "id": Attribute.ID,
    "username": Attribute.NAME,
    "displayname": Attribute.DISPLAY_NAME,
}
SERVICE_PRINCIPAL_COLUMNS = {
    "id": Attribute.ID,
    "applicationid": Attribute.NAME,
    "displayname": Attribute.DISPLAY_NAME,
}
GROUP_COLUMNS = {"id": Attribute.ID, "displayname": Attribute.NAME}

_CONTAINS = "co"
_OPERATORS = ("eq", _CONTAINS)
# Characters of a part of a value that is looked for; no name has more.
MAX_PART = 256

# None of these looks at a character many times, however long the text.
_FILTER = re.compile(r"([\w.:$-]+)\s+(\w+)\s+(\S.*)", re.DOTALL)
_PATH = re.compile(r"(?:urn:[\w.:-]*:)?([A-Za-z$]\w*)(.*)", re.DOTALL)
_SELECTOR = re.compile(r"\[\s*value\s+eq\s+(\S.*)\]", re.DOTALL | re.IGNORECASE)

# Attributes that clients send and that mean nothing here.
_NOT_KEPT = frozenset(
    (
        "addresses",
        "emails",
        "entitlements",
        "externalid",
        "ims",
        "locale",
        "meta",
        "name",
        "nickname",
        "phonenumbers",
        "photos",
        "preferredlanguage",
        "profileurl",
        "roles",
        "schemas",
        "timezone",
        "title",
        "usertype",
        "x509certificates",
    )
)


class Op(StrEnum):
    """Kind of a change."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of one attribute.

    Attributes:
        op: Kind of the change.
        attribute: Name of the attribute, in lower case.
        rest: What follows it in the path, such as `[value eq "123"]`.
        value: Value given.
    """

    op: Op
    attribute: str
    rest: str
    value: Json


@dataclass(frozen=True, slots=True)
class PrincipalState:
    """What a patch sees of a user or service principal; the last two fields may change."""

    id: str
    name: str
    display_name: str
    active: bool


@dataclass(frozen=True, slots=True)
class GroupState:
    """What a patch sees of a group; the last two fields may change."""

    id: str
    name: str
    member_ids: frozenset[str]


def may_ignore(name: str, path: str) -> bool:
    """Tell whether an attribute that this deployment does not keep may be sent.

    Args:
        name: Its name.
        path: Path of the attribute that it is a part of; empty: of none.
    """
    # `groups` is read-only (RFC 7643, section 4.1.2), and such attributes are to be ignored.
    attribute = name.lower()
    return bool(path) or attribute in {*_NOT_KEPT, "groups"} or attribute.startswith("urn:")


def build_page(
    text: str, start_index: int, count: int | None, columns: Mapping[str, Attribute]
) -> Page:
    """Return the page that a list's parameters ask for.

    Args:
        text: Filter, such as `userName eq "a"`; empty: none.
        start_index: Place of the first result, counted from 1.
        count: Greatest number of results; None: no limit.
        columns: What can be filtered by, by attributes in lower case.

    Raises:
        InvalidParameter: The filter is malformed or not supported.
    """
    limit = None if count is None else max(count, 0)
    page = Page(offset=max(start_index, 1) - 1, limit=limit)
    text = text.strip()
    if not text:
        return page
    parts = _FILTER.fullmatch(text)
    attribute = columns.get(parts[1].lower()) if parts else None
    value = _parse_literal(parts[3]) if parts else None
    operator = parts[2].lower() if parts else ""
    if operator not in _OPERATORS or attribute is None or value is None:
        names = ", ".join(columns)
        raise InvalidParameter(
            f"filter '{text[:200]}' is not supported; use 'ATTRIBUTE eq \"VALUE\"', or 'co' in "
            f"place of 'eq' for a part of the value, where the attribute is one of: {names}."
        )
    part = operator == _CONTAINS
    if part and len(value) > MAX_PART:
        raise InvalidParameter(f"What 'co' looks for must have at most {MAX_PART} characters.")
    return replace(page, attribute=attribute, value=value, part=part)


def parse_patch(patch: Patch) -> list[Operation]:
    """Return the changes of a patch, one for each attribute.

    Raises:
        InvalidParameter: The patch is malformed.
    """
    if not patch.operations:
        raise InvalidParameter("Operations must hold at least one operation.")
    return [item for operation in patch.operations for item in _parse_operation(operation)]


def patch_principal(state: PrincipalState, operations: list[Operation]) -> PrincipalState:
    """Return what operations make of a user or service principal.

    Raises:
        InvalidParameter: An attribute cannot be changed, or not to this value.
    """
    for item in operations:
        removed = item.op is Op.REMOVE
        match item.attribute:
            case "active":
                state = replace(state, active=_as_bool(item))
            case "displayname":
                text = "" if removed else _as_text(item)
                state = replace(state, display_name=text or state.name)
            case "id":
                _check_same(item, state.id)
            case "username" | "applicationid":
                _check_same(item, state.name)
            case "groups":
                raise InvalidParameter("groups is read-only; change the members of the group.")
            case _:
                _check_known(item)
    return state


def patch_group(state: GroupState, operations: list[Operation]) -> GroupState:
    """Return what operations make of a group.

    Raises:
        InvalidParameter: An attribute cannot be changed, or not to this value.
    """
    for item in operations:
        match item.attribute:
            case "displayname":
                state = replace(state, name=_as_text(item))
            case "members":
                state = replace(state, member_ids=_patch_members(state.member_ids, item))
            case "id":
                _check_same(item, state.id)
            case "groups":
                raise InvalidParameter("groups is not supported: groups cannot be nested.")
            case _:
                _check_known(item)
    return state


def _parse_operation(operation: PatchOperation) -> Iterator[Operation]:
    name = operation.op.lower()
    if name not in set(Op):
        raise InvalidParameter(f"op '{operation.op[:100]}' is not known; use {', '.join(Op)}.")
    value = _plain(operation.value)
    if operation.path:
        yield _build_operation(Op(name), operation.path, value)
    elif isinstance(value, dict) and value and name != Op.REMOVE:
        for path, part in value.items():
            yield _build_operation(Op(name), path, part)
    else:
        raise InvalidParameter(
            f"An operation to {name} needs a path, or else an object of attributes as its value."
        )


def _build_operation(op: Op, path: str, value: Json) -> Operation:
    parts = _PATH.fullmatch(path.strip())
    if parts is None:
        raise InvalidParameter(f"path '{path[:200]}' is malformed; name an attribute.")
    return Operation(op, parts[1].lower(), parts[2].strip(), value)


def _patch_members(held: frozenset[str], item: Operation) -> frozenset[str]:
    selector = _SELECTOR.fullmatch(item.rest)
    selected = _parse_literal(selector[1].strip()) if selector else None
    if item.rest and (selected is None or item.op is not Op.REMOVE):
        raise InvalidParameter(
            f"path 'members{item.rest[:200]}' is not supported; use 'members', or to remove "
            "'members[value eq \"ID\"]'."
        )
    if item.op is Op.REPLACE:
        return _member_ids(item)
    if item.op is Op.ADD:
        return held | _member_ids(item)
    if selected is not None:
        return held - {selected}
    return held - _member_ids(item) if item.value else frozenset()


def _member_ids(item: Operation) -> frozenset[str]:
    entries = item.value if isinstance(item.value, list) else [item.value]
    ids = [entry.get("value") if isinstance(entry, dict) else None for entry in entries]
    found = frozenset(member_id for member_id in ids if isinstance(member_id, str))
    if None in ids or len(found) != len(set(map(str, ids))):
        raise InvalidParameter('members must be a list such as [{"value": "ID"}].')
    return found


def _as_bool(item: Operation) -> bool:
    # Some clients send text, and some a list of one.
    value = _only(item.value)
    if isinstance(value, str) and value.lower() in ("true", "false"):
        value = value.lower() == "true"
    if not isinstance(value, bool) or item.rest or item.op is Op.REMOVE:
        raise InvalidParameter("active must be set to true or false.")
    return value


def _as_text(item: Operation) -> str:
    value = _only(item.value)
    if not isinstance(value, str) or not value or item.rest or item.op is Op.REMOVE:
        raise InvalidParameter("displayName must be set to a text that is not empty.")
    return value


def _only(value: Json) -> Json:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value.get("value") if isinstance(value, dict) else value


def _check_same(item: Operation, held: str) -> None:
    if item.value != held or item.op is Op.REMOVE:
        raise InvalidParameter(f"{item.attribute} cannot be changed; leave it out.")


def _check_known(item: Operation) -> None:
    if item.attribute not in _NOT_KEPT:
        raise InvalidParameter(f"There is no attribute '{item.attribute[:100]}' to change.")


def _parse_literal(text: str) -> str | None:
    """Return the text of a literal in double quotes, in single ones, or in none."""
    if text.startswith('"'):
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        return value if isinstance(value, str) else None
    if text.startswith("'"):
        inner = text[1:-1]
        return inner if len(text) > 1 and text.endswith("'") and "'" not in inner else None
    return None if re.search(r"[\s'\"]", text) else text


def _plain(value: Value) -> Json:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "number_value":
            return value.number_value
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
        case "struct_value":
            return {key: _plain(item) for key, item in value.struct_value.fields.items()}
        case _:
            return None
