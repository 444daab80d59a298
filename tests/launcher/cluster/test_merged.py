"""What the hosts of a group make together, and what is believed of what they say."""

from typing import Any

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.cluster.merged import MOST_REPLICAS, Told, fit, merge

READY, STARTING = pb.REPLICA_PHASE_READY, pb.REPLICA_PHASE_STARTING
SPEC = pb.GroupSpec(id="g", generation=2, replicas=2)
ADDRESS = "10.1.2.3"


def replica(number: int = 1, **others: Any) -> pb.ReplicaReport:
    fields: dict[str, Any] = {
        "id": f"{number:032x}",
        "phase": READY,
        "address": f"{ADDRESS}:8000",
        "token": "token",
        "certificate": b"certificate",
    }
    return pb.ReplicaReport(**(fields | others))


def host(
    progress: "pb.GroupProgress.ValueType", *replicas: pb.ReplicaReport, **others: Any
) -> pb.GroupReport:
    fields: dict[str, Any] = {"group_id": "g", "generation": 2, "progress": progress}
    return pb.GroupReport(replicas=replicas, **(fields | others))


def test_one_replica_that_serves_makes_a_group_serve_and_all_are_told() -> None:
    serving = host(pb.GROUP_PROGRESS_READY, replica(1), tokens_per_second=80.0)
    hosts = [serving, host(pb.GROUP_PROGRESS_FAILED, message="no room here")]
    merged = merge(SPEC, hosts, Told("0/1 nodes are available", start_ms=900))
    assert merged.progress == pb.GROUP_PROGRESS_READY
    assert [one.id for one in merged.replicas] == [replica(1).id]
    assert (merged.start_ms, merged.tokens_per_second, merged.generation) == (900, 80.0, 2)
    assert merged.message == "0/1 nodes are available"


def test_a_group_fails_once_none_of_its_hosts_goes_on() -> None:
    failed = host(pb.GROUP_PROGRESS_FAILED, message="The model has no weights.")
    going = host(pb.GROUP_PROGRESS_FETCHING, message="3.1 MB")
    assert merge(SPEC, [failed, going], Told()).progress == pb.GROUP_PROGRESS_FETCHING
    merged = merge(SPEC, [failed, failed], Told())
    assert (merged.progress, merged.message) == (pb.GROUP_PROGRESS_FAILED, failed.message)
    # What was said of the generation before is tried again.
    before = host(pb.GROUP_PROGRESS_FAILED, message="history", generation=1)
    assert merge(SPEC, [before], Told()).progress == pb.GROUP_PROGRESS_STARTING
    late = merge(SPEC, [], Told(failure="No machine of the cluster fits."))
    assert (late.progress, late.message) == (
        pb.GROUP_PROGRESS_FAILED,
        "No machine of the cluster fits.",
    )


def test_the_furthest_host_says_how_far_a_group_is() -> None:
    hosts = [
        host(pb.GROUP_PROGRESS_FETCHING, message="3.1 MB", done=31, total=100),
        host(pb.GROUP_PROGRESS_CONVERTING, message="40 %", done=2, total=5),
        host(pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT),
    ]
    merged = merge(SPEC, hosts, Told("ImagePullBackOff"))
    assert (merged.progress, merged.message) == (pb.GROUP_PROGRESS_CONVERTING, "40 %")
    assert (merged.done, merged.total) == (2, 5)
    waiting = merge(SPEC, [], Told("ImagePullBackOff"))
    assert (waiting.progress, waiting.message) == (pb.GROUP_PROGRESS_STARTING, "ImagePullBackOff")
    asleep = merge(pb.GroupSpec(id="g", replicas=0), [], Told("ImagePullBackOff"))
    assert (asleep.progress, asleep.message) == (pb.GROUP_PROGRESS_READY, "")


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "short"},
        {"address": "10.9.9.9:8000"},
        {"address": "control-plane:9091"},
        {"address": f"{ADDRESS}:"},
        {"token": ""},
        {"token": "two\r\nlines"},
        {"certificate": b""},
        {"certificate": b"x" * 20_000},
    ],
    ids=str,
)
def test_what_no_replica_can_be_is_not_told_to_workers(wrong: dict[str, Any]) -> None:
    said = host(pb.GROUP_PROGRESS_READY, replica(1, **wrong), replica(2))
    assert [one.id for one in fit(said, ADDRESS).replicas] == [replica(2).id]


def test_what_a_host_says_is_bounded() -> None:
    starting = pb.ReplicaReport(id=replica(9).id, phase=STARTING)
    many = [starting, *(replica(number) for number in range(100))]
    said = host(pb.GROUP_PROGRESS_READY, *many, message="x" * 5_000, start_ms=-1)
    found = fit(said, "")
    assert len(found.replicas) == MOST_REPLICAS
    assert found.replicas[0] == starting
    assert (len(found.message), found.start_ms) == (2_000, 0)
    told = fit(host(pb.GROUP_PROGRESS_FETCHING, done=3, total=9), "")
    assert (told.done, told.total) == (3, 9)
    assert fit(host(pb.GROUP_PROGRESS_FETCHING, done=-3, total=-9), "").total == 0
