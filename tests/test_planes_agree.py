"""The two planes decide apart who may do what with an endpoint, and must decide the same."""

from hypothesis import given
from hypothesis import strategies as st

from modelplane.control_plane.access import level_of as level_by_control_plane
from modelplane.control_plane.principal import Level
from modelplane.control_plane.principal import Principal as ControlPlanePrincipal
from modelplane.data_plane.access import level_of as level_by_worker
from modelplane.data_plane.snapshots.callers import Principal as WorkerPrincipal
from modelplane.data_plane.snapshots.snapshot import CAN_QUERY, Endpoint

IDS = st.sampled_from(["1", "2", "ann", "team", "other"])


@given(
    principal_id=IDS,
    admin=st.booleans(),
    groups=st.sets(IDS),
    grants=st.dictionaries(IDS, st.sampled_from(Level)),
)
def test_the_planes_give_a_principal_the_same_level(
    principal_id: str, *, admin: bool, groups: set[str], grants: dict[str, Level]
) -> None:
    caller = ControlPlanePrincipal(principal_id, "x", admin, group_ids=frozenset(groups))
    level = level_by_control_plane(caller, grants)
    numbers = {grantee: int(granted) for grantee, granted in grants.items()}
    worker = WorkerPrincipal(principal_id, "x", admin, group_ids=tuple(groups))
    found = level_by_worker(worker, Endpoint("id", "name", None, None, numbers))
    # A worker asks only whether one may query, so what lies above that is all the same to it.
    assert min(found, CAN_QUERY) == min(int(level), CAN_QUERY)
