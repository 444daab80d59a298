import pytest

from modelplane.control_plane.access import level_of, require_admin, require_level
from modelplane.control_plane.errors import NotFound, PermissionDenied
from modelplane.control_plane.principal import USERS_ID, Level, Principal

ADMIN = Principal("root-id", "root", admin=True)
ANN = Principal("ann-id", "ann", group_ids=frozenset({USERS_ID, "team"}))
BOB = Principal("bob-id", "bob")


@pytest.mark.parametrize(
    ("principal", "grants", "level"),
    [
        (ADMIN, {}, Level.CAN_MANAGE),
        (ANN, {}, Level.NONE),
        (ANN, {"ann-id": Level.CAN_VIEW}, Level.CAN_VIEW),
        (ANN, {"team": Level.CAN_QUERY}, Level.CAN_QUERY),
        (ANN, {USERS_ID: Level.CAN_VIEW, "team": Level.CAN_MANAGE}, Level.CAN_MANAGE),
        (ANN, {"ann-id": Level.CAN_MANAGE, "team": Level.CAN_VIEW}, Level.CAN_MANAGE),
        (BOB, {"ann-id": Level.CAN_MANAGE, "team": Level.CAN_MANAGE}, Level.NONE),
        (BOB, {USERS_ID: Level.CAN_QUERY}, Level.CAN_QUERY),
    ],
)
def test_the_highest_of_what_one_is_granted_counts(
    principal: Principal, grants: dict[str, Level], level: Level
) -> None:
    assert level_of(principal, grants) is level


def test_what_may_be_seen_is_refused_and_what_may_not_does_not_exist() -> None:
    grants = {"ann-id": Level.CAN_QUERY}
    require_level(ANN, "chat", grants, Level.CAN_QUERY)
    with pytest.raises(PermissionDenied, match="'ann' needs CAN_MANAGE on endpoint 'chat'"):
        require_level(ANN, "chat", grants, Level.CAN_MANAGE)
    for needed in (Level.CAN_VIEW, Level.CAN_MANAGE):
        with pytest.raises(NotFound, match="Endpoint with name 'chat' does not exist"):
            require_level(BOB, "chat", grants, needed)


def test_only_administrators_are_administrators() -> None:
    require_admin(ADMIN)
    with pytest.raises(PermissionDenied, match="'ann' is no administrator"):
        require_admin(ANN)
