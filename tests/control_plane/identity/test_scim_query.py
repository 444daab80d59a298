import pytest
from modelserving.v1.identity_pb2 import Group, PersonName, Reference, User

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.identity.scim_query import check_order, select

USER = User(
    schemas=["s"],
    id="7",
    user_name="ann",
    name=PersonName(formatted="Ann"),
    active=True,
    groups=[Reference(value="1")],
)


def selected(attributes: str = "", excluded: str = "") -> set[str]:
    """Return the names of the fields that are left of a user."""
    user = User()
    user.CopyFrom(USER)
    return {field.name for field, _ in select(user, attributes, excluded).ListFields()}


EVERYTHING = {"schemas", "id", "user_name", "name", "active", "groups"}


@pytest.mark.parametrize(
    ("attributes", "excluded", "left"),
    [
        ("", "", EVERYTHING),
        ("userName", "", {"schemas", "id", "user_name"}),
        ("USERNAME, active", "", {"schemas", "id", "user_name", "active"}),
        ("name.givenName", "", {"schemas", "id", "name"}),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName", "", {"schemas", "id", "user_name"}),
        ("entitlements", "", {"schemas", "id"}),
        ("", "groups,active", EVERYTHING - {"groups", "active"}),
        ("", "id,schemas,name.givenName,entitlements", EVERYTHING),
        ("userName,active", "active", {"schemas", "id", "user_name"}),
    ],
)
def test_attributes_are_chosen(attributes: str, excluded: str, left: set[str]) -> None:
    assert selected(attributes, excluded) == left


def test_members_may_be_left_out() -> None:
    group = Group(id="1", display_name="g", members=[Reference(value="7")])
    assert select(group, "", "members") == Group(id="1", display_name="g")


@pytest.mark.parametrize("sort_by", ["", "userName", "username", "urn:x:User:userName"])
@pytest.mark.parametrize("sort_order", ["", "ascending", "Ascending"])
def test_the_order_that_there_is_may_be_asked_for(sort_by: str, sort_order: str) -> None:
    check_order(sort_by, sort_order, "userName")


@pytest.mark.parametrize(
    ("sort_by", "sort_order", "words"),
    [
        ("displayName", "", "sortBy 'displayName' is not available .* ordered by userName"),
        ("userName", "descending", "sortOrder 'descending' is not available"),
    ],
)
def test_another_order_is_refused(sort_by: str, sort_order: str, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        check_order(sort_by, sort_order, "userName")
