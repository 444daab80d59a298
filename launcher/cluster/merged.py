"""What the hosts of a group make together, as the control plane is told of it. Pure.

Used by `launcher.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from modelserving.launcher.v1 import launcher_service_pb2 as pb

# One that serves, and those before it that have not ended yet.
MOST_REPLICAS = 8
_MOST_MESSAGE = 2_000
_ID = re.compile(r"[0-9a-f]{32}")
_TOKEN = re.compile(r"[!-~]{1,256}")
_MOST_CERTIFICATE_BYTES = 16 * 1024
# As a group goes through them.
_ORDER = (
    pb.GROUP_PROGRESS_FETCHING,
    pb.GROUP_PROGRESS_BUILDING_ENVIRONMENT,
    pb.GROUP_PROGRESS_CONVERTING,
    pb.GROUP_PROGRESS_STARTING,
)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a group beside what its hosts say.

    Attributes:
        problem: What keeps hosts from coming up; empty: nothing is known to.
        failure: Why it is given up; empty: it is not.
        start_ms: How long the newest replica took until it was ready; 0: none has been.
    """

    problem: str = ""
    failure: str = ""
    start_ms: int = 0


def merge(spec: pb.GroupSpec, hosts: Sequence[pb.GroupReport], told: Told) -> pb.GroupReport:
    """Return the report of a group.

    Args:
        spec: What should run.
        hosts: What each of its hosts has said last.
        told: What else is known.
    """
    replicas = [replica for host in hosts for replica in host.replicas]
    merged = pb.GroupReport(
        group_id=spec.id,
        generation=spec.generation,
        replicas=replicas,
        start_ms=told.start_ms,
        tokens_per_second=max((host.tokens_per_second for host in hosts), default=0.0),
    )
    merged.progress, merged.message = _progress(spec, hosts, told)
    for host in hosts:
        if (host.progress, host.message) == (merged.progress, merged.message):
            merged.done, merged.total = host.done, host.total
    return merged


def fit(report: pb.GroupReport, address: str) -> pb.GroupReport:
    """Return what may be believed of what a host says: a model may have taken its place.

    Args:
        report: What it says.
        address: Where alone its replica can be; empty: that is not known.
    """
    replicas = [one for one in report.replicas[:MOST_REPLICAS] if _is_fit(one, address)]
    return pb.GroupReport(
        group_id=report.group_id,
        generation=report.generation,
        progress=report.progress,
        message=report.message[:_MOST_MESSAGE],
        replicas=replicas,
        start_ms=max(0, report.start_ms),
        tokens_per_second=max(0.0, report.tokens_per_second),
        done=max(0, report.done),
        total=max(0, report.total),
    )


def _is_fit(replica: pb.ReplicaReport, address: str) -> bool:
    if not _ID.fullmatch(replica.id):
        return False
    if replica.phase == pb.REPLICA_PHASE_STARTING:
        return True
    host, _, port = replica.address.rpartition(":")
    return bool(
        (host.strip("[]") == address or (not address and host))
        and port.isdecimal()
        and _TOKEN.fullmatch(replica.token)
        # Requests go over the network: never without TLS.
        and 0 < len(replica.certificate) <= _MOST_CERTIFICATE_BYTES
    )


def _progress(
    spec: pb.GroupSpec, hosts: Sequence[pb.GroupReport], told: Told
) -> "tuple[pb.GroupProgress.ValueType, str]":
    is_ready = any(
        replica.phase == pb.REPLICA_PHASE_READY for host in hosts for replica in host.replicas
    )
    if is_ready or not spec.replicas:
        # What is short of the wanted number is told, and harms nobody yet.
        return pb.GROUP_PROGRESS_READY, told.problem if spec.replicas else ""
    if told.failure:
        return pb.GROUP_PROGRESS_FAILED, told.failure
    # What it says of an earlier generation is history.
    current = [host for host in hosts if host.generation >= spec.generation]
    failed = [host for host in current if host.progress == pb.GROUP_PROGRESS_FAILED]
    if failed and len(failed) == len(hosts):
        return pb.GROUP_PROGRESS_FAILED, failed[0].message
    going = [host for host in current if host.progress in _ORDER]
    if not going:
        return pb.GROUP_PROGRESS_STARTING, told.problem
    furthest = max(going, key=lambda host: _ORDER.index(host.progress))
    return furthest.progress, furthest.message or told.problem
