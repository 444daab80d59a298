"""One group on a cluster: since when it is waited for, and what its hosts' reports make.

Used by `launcher.py`.
"""

from collections.abc import Iterator, Sequence

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.backend import LogTail
from modelplane.launcher.cluster.cluster import Seen
from modelplane.launcher.cluster.hosts import Host
from modelplane.launcher.cluster.merged import Told, merge
from modelplane.launcher.counts import Counts

# Beside what a replica may take to start: to find a machine, and to fetch the image.
_PLACING_SECONDS = 600.0
_LOG_CHARACTERS = 256 * 1024
_KINDS = (pb.LOG_KIND_BUILD, pb.LOG_KIND_SERVICE)


class ClusterGroup:
    """A group that runs on a cluster.

    Attributes:
        spec: What should run.
        is_measured: Whether a replica was measured.
    """

    def __init__(self, spec: pb.GroupSpec, now: float, counts: Counts) -> None:
        self.spec = spec
        self._counts = counts
        # Those of its replicas that take requests.
        self._ready: frozenset[str] = frozenset()
        self._has_failed = False
        self.is_measured = False
        self._failure = ""
        self._start_ms = 0
        # Since when a replica is wanted and none is ready; None: that is not so.
        self._waits_since: float | None = now if spec.replicas else None
        self._logs = {kind: _MergedLog() for kind in _KINDS}

    def apply(self, spec: pb.GroupSpec, now: float) -> None:
        """Take what should run from now on; a higher generation lets a failed group try again."""
        if spec.generation > self.spec.generation:
            self._failure = ""
            if self._waits_since is not None:
                self._waits_since = now
        self.spec = spec

    def report(self, hosts: Sequence[pb.GroupReport], seen: Seen, now: float) -> pb.GroupReport:
        """Return what the control plane is told."""
        is_ready = any(
            replica.phase == pb.REPLICA_PHASE_READY for host in hosts for replica in host.replicas
        )
        self._note(now, is_ready=is_ready, has_hosts=bool(hosts), problem=seen.problem)
        report = merge(self.spec, hosts, Told(seen.problem, self._failure, self._start_ms))
        self._count(hosts, has_failed=report.progress == pb.GROUP_PROGRESS_FAILED)
        self.is_measured = self.is_measured or report.tokens_per_second > 0
        return report

    def logs(self, hosts: Sequence[Host]) -> "Iterator[tuple[str, pb.LogKind.ValueType, LogTail]]":
        """Yield the logs of all its hosts as one of each kind."""
        for kind, merged in self._logs.items():
            merged.put([host.logs[kind] for host in hosts if kind in host.logs])
            yield self.spec.id, kind, merged

    def _count(self, hosts: Sequence[pb.GroupReport], *, has_failed: bool) -> None:
        """Count what has become ready since this was asked last, and a failure of all."""
        took = {
            replica.id: host.start_ms
            for host in hosts
            for replica in host.replicas
            if replica.phase == pb.REPLICA_PHASE_READY
        }
        for replica in took.keys() - self._ready:
            self._counts.note_start(self.spec.engine, took[replica])
        self._ready = frozenset(took)
        if has_failed and not self._has_failed:
            self._counts.failures[self.spec.engine] += 1
        self._has_failed = has_failed

    def _note(self, now: float, *, is_ready: bool, has_hosts: bool, problem: str) -> None:
        if is_ready or not self.spec.replicas:
            if is_ready and self._waits_since is not None:
                self._start_ms = max(1, round(1000 * (now - self._waits_since)))
            self._waits_since = None
            return
        if self._waits_since is None:
            self._waits_since = now
        allowed = _PLACING_SECONDS + self.spec.start_deadline_ms / 1000
        # A host that is there has a deadline of its own.
        if not has_hosts and now - self._waits_since > allowed:
            self._failure = problem or f"The cluster has started no host within {allowed:g} s."


class _MergedLog:
    """The ends of several logs, one after another.

    Attributes:
        version: Another one after each change.
    """

    def __init__(self) -> None:
        self.version = 0
        self._parts: Sequence[LogTail] = ()
        self._versions: tuple[tuple[int, int], ...] = ()

    def put(self, parts: Sequence[LogTail]) -> None:
        """Take the logs; none: those of the last hosts stay."""
        versions = tuple((id(part), part.version) for part in parts)
        if parts and versions != self._versions:
            self._parts, self._versions = parts, versions
            self.version += 1

    def text(self) -> str:
        """Return them, each shortened to an equal part."""
        room = _LOG_CHARACTERS // max(1, len(self._parts))
        texts = [_end(part.text(), room) for part in self._parts]
        return "".join(text if text.endswith("\n") else f"{text}\n" for text in texts if text)


def _end(text: str, most: int) -> str:
    if len(text.encode()) <= most:
        return text
    cut = text.encode()[-most:].decode(errors="ignore")
    return cut.partition("\n")[2] or cut
