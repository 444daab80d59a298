import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st
from modelserving.v1.identity_pb2 import Patch, PatchOperation

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.identity.scim import (
    GROUP_COLUMNS,
    MAX_PART,
    SERVICE_PRINCIPAL_COLUMNS,
    USER_COLUMNS,
    GroupState,
    PrincipalState,
    build_page,
    parse_patch,
    patch_group,
    patch_principal,
)
from modelplane.control_plane.store.identity.principals import Attribute, Page

ANN = PrincipalState(id="7", name="ann", display_name="Ann", active=True)
TEAM = GroupState(id="8", name="team", member_ids=frozenset({"1", "2"}))


def patch(*operations: dict[str, Any]) -> Patch:
    return json_format.ParseDict({"Operations": list(operations)}, Patch())


def patched(*operations: dict[str, Any]) -> PrincipalState:
    return patch_principal(ANN, parse_patch(patch(*operations)))


def members(*operations: dict[str, Any]) -> set[str]:
    return set(patch_group(TEAM, parse_patch(patch(*operations))).member_ids)


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ('userName eq "a b"', Attribute.NAME, "a b"),
        ("USERNAME EQ 'a'", Attribute.NAME, "a"),
        (r'displayName eq "\"é\u00e9"', Attribute.DISPLAY_NAME, '"éé'),
        ("  id   eq   7  ", Attribute.ID, "7"),
        ("", None, ""),
    ],
)
def test_filters(text: str, attribute: Attribute | None, value: str) -> None:
    assert build_page(text, 0, None, USER_COLUMNS) == Page(attribute, value, 0, None)


@pytest.mark.parametrize(
    "text",
    [
        "userName",
        'userName sw "a"',
        "userName co",
        'userName eq "a" and id eq "b"',
        "userName eq 'a' or id eq 'b'",
        'userName eq "a',
        "userName eq 'a",
        "userName eq a b",
        "userName eq '",
        'applicationId eq "a"',
        "\ud7ff eq",
        'userName eq "\\ud800"',
    ],
)
def test_filters_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="use 'ATTRIBUTE eq"):
        build_page(text, 1, 1, USER_COLUMNS)


def test_a_part_of_a_value_is_looked_for_within_bounds() -> None:
    found = build_page('userName CO "a"', 0, None, USER_COLUMNS)
    assert found == Page(Attribute.NAME, "a", part=True)
    assert build_page(f'userName co "{"a" * MAX_PART}"', 0, None, USER_COLUMNS).part
    with pytest.raises(InvalidParameter, match=f"at most {MAX_PART}"):
        build_page(f'userName co "{"a" * (MAX_PART + 1)}"', 0, None, USER_COLUMNS)


@pytest.mark.parametrize("filler", [" ", "\\", "]", "] ", "a", "'", '"'])
def test_long_texts_take_no_time_to_refuse(filler: str) -> None:
    # Would take minutes if the time grew with the square of the length.
    for start in ("userName eq", "userName eq '", "userName"):
        with pytest.raises(InvalidParameter):
            build_page(f"{start}{filler * 200_000} b", 1, 1, GROUP_COLUMNS)
    with pytest.raises(InvalidParameter):
        members({"op": "add", "path": f"members[value eq {filler * 200_000} b"})


def test_each_kind_has_its_names() -> None:
    by_id = build_page('applicationId eq "a"', 1, None, SERVICE_PRINCIPAL_COLUMNS)
    assert by_id.attribute is Attribute.NAME
    assert build_page('displayName eq "a"', 1, None, GROUP_COLUMNS).attribute is Attribute.NAME


@pytest.mark.parametrize(
    ("start", "count", "offset", "limit"),
    [(0, None, 0, None), (-5, -5, 0, 0), (1, 10, 0, 10), (11, 0, 10, 0)],
)
def test_pages_count_from_one(start: int, count: int | None, offset: int, limit: int) -> None:
    page = build_page("", start, count, USER_COLUMNS)
    assert (page.offset, page.limit) == (offset, limit)


@pytest.mark.parametrize("value", [False, "false", "False", [{"value": False}], {"value": "false"}])
def test_clients_write_truth_in_many_ways(value: object) -> None:
    assert not patched({"op": "Replace", "path": "active", "value": value}).active


def test_patches_of_a_principal() -> None:
    shown = {"op": "add", "path": "displayName", "value": "A"}
    assert patched(shown).display_name == "A"
    assert patched(shown, {"op": "remove", "path": "displayName"}).display_name == "ann"
    many = {"id": "7", "userName": "ann", "active": False, "displayName": "B", "title": "x"}
    changed = patched({"op": "replace", "value": many})
    assert (changed.display_name, changed.active) == ("B", False)
    urn = "urn:ietf:params:scim:schemas:core:2.0:User:displayName"
    assert patched({"op": "replace", "path": urn, "value": "C"}).display_name == "C"
    for path in ("entitlements", 'emails[type eq "work"].value', "name.givenName", "externalId"):
        assert patched({"op": "add", "path": path, "value": "x"}) == ANN


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ({"op": "replace", "path": "active"}, "true or false"),
        ({"op": "replace", "path": "active", "value": "yes"}, "true or false"),
        ({"op": "remove", "path": "active"}, "true or false"),
        ({"op": "replace", "path": "active[value eq 1]", "value": True}, "true or false"),
        ({"op": "replace", "path": "displayName", "value": ""}, "not empty"),
        ({"op": "replace", "path": "displayName", "value": 7}, "not empty"),
        ({"op": "replace", "path": "userName", "value": "bob"}, "cannot be changed"),
        ({"op": "remove", "path": "id"}, "cannot be changed"),
        ({"op": "add", "path": "groups", "value": [{"value": "1"}]}, "read-only"),
        ({"op": "add", "path": "members", "value": [{"value": "1"}]}, "no attribute 'members'"),
        ({"op": "", "path": "active", "value": True}, "use add, remove, replace"),
        ({"op": "add", "path": "[", "value": True}, "malformed"),
        ({"op": "add", "value": []}, "needs a path"),
        ({"op": "add", "value": {}}, "needs a path"),
        ({"op": "remove", "value": {"active": True}}, "needs a path"),
    ],
)
def test_patches_of_a_principal_that_are_refused(operation: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        patched(operation)


def test_patches_of_members() -> None:
    add = {"op": "add", "path": "members", "value": [{"value": "3"}, {"value": "1"}]}
    assert members(add) == {"1", "2", "3"}
    assert members({"op": "add", "value": {"members": {"value": "3"}}}) == {"1", "2", "3"}
    assert members({"op": "replace", "path": "members", "value": [{"value": "3"}]}) == {"3"}
    assert members({"op": "replace", "path": "members", "value": []}) == set()
    assert members({"op": "remove", "path": 'members[value eq "1"]'}) == {"2"}
    assert members({"op": "remove", "path": "members[ VALUE eq 'nobody' ]"}) == {"1", "2"}
    assert members({"op": "remove", "path": "members", "value": [{"value": "1"}]}) == {"2"}
    assert members({"op": "remove", "path": "members"}) == set()
    assert members(add, {"op": "remove", "path": "members[value eq 1]"}) == {"2", "3"}


def test_patches_of_a_group() -> None:
    operations = parse_patch(patch({"op": "replace", "path": "DisplayName", "value": "crew"}))
    assert patch_group(TEAM, operations).name == "crew"
    kept = {"id": "8", "entitlements": [], "meta": {"resourceType": "Group"}}
    assert patch_group(TEAM, parse_patch(patch({"op": "replace", "value": kept}))) == TEAM


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ({"op": "add", "path": "members", "value": ["3"]}, "must be a list"),
        ({"op": "add", "path": "members", "value": [{"value": 3}]}, "must be a list"),
        ({"op": "add", "path": "members", "value": [{"value": "1"}, {}]}, "must be a list"),
        ({"op": "add", "path": "members"}, "must be a list"),
        ({"op": "add", "path": "members[value eq '1']"}, "is not supported"),
        ({"op": "remove", "path": "members[display eq 'x']"}, "is not supported"),
        ({"op": "remove", "path": "displayName"}, "not empty"),
        ({"op": "replace", "path": "id", "value": "9"}, "cannot be changed"),
        ({"op": "add", "path": "groups", "value": [{"value": "1"}]}, "cannot be nested"),
        ({"op": "add", "path": "active", "value": True}, "no attribute"),
    ],
)
def test_patches_of_a_group_that_are_refused(operation: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        members(operation)


def test_a_patch_needs_operations() -> None:
    with pytest.raises(InvalidParameter, match="at least one"):
        parse_patch(Patch())


def test_what_json_cannot_hold_is_refused_like_anything_else() -> None:
    operation = PatchOperation(op="add", path="active", value=Value(number_value=math.nan))
    with pytest.raises(InvalidParameter, match="true or false"):
        patch_principal(ANN, parse_patch(Patch(operations=[operation])))


@given(
    st.text(),
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
)
def test_any_operation_is_made_or_refused(op: str, path: str, value: Any) -> None:
    for name in (op, "add", "remove", "replace"):
        for place in (path, "members", f"members{path}", f"active{path}"):
            operation = PatchOperation(
                op=name.encode("utf-8", "ignore").decode(),
                path=place.encode("utf-8", "ignore").decode(),
            )
            json_format.ParseDict(value, operation.value)
            for apply in (
                lambda items: patch_principal(ANN, items),
                lambda items: patch_group(TEAM, items),
            ):
                try:
                    changed = apply(parse_patch(Patch(operations=[operation])))
                except InvalidParameter:
                    continue
                assert changed.id in ("7", "8")
