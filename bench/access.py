"""Measures what it costs a worker to know a caller and to decide whether it may query.

Access tokens are looked up by their digest; a JWT is verified the first time, and looked up from
then on.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from itertools import count
from random import Random

from modelserving.worker.v1.snapshot_pb2 import (
    EndpointResource,
    Grant,
    Membership,
    PermissionLevel,
    PrincipalResource,
    TokenResource,
)
from modelserving.worker.v1.snapshot_service_pb2 import ConfigDelta

from bench.report import Row, Table, table_of
from modelplane.adapters.shared.rpc.authorization import digest
from modelplane.data_plane.access import authenticate, authorize
from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.snapshot import Snapshot
from tests.adapters.shared.jwt.issuers import NOW, KeyPair, all_keys, claims, issuer_resource

_TOKENS = 10_000
# Fresh ones; all are signed before the clock starts.
_JWTS = 2_000
_BUDGET = "20"
_TOKEN = "dapi0123456789abcdef"


def measure(seconds: float) -> Table:
    """Return CPU time of one decision, in microseconds.

    Args:
        seconds: How long each measurement runs.
    """
    snapshot = _snapshot()
    rows = [
        _row("access token", snapshot, _repeat(_TOKEN), seconds, _BUDGET),
        *(_cached(snapshot, key, seconds) for key in all_keys()),
        *(_fresh(snapshot, key, seconds) for key in all_keys()),
    ]
    return table_of("Knowing a caller, and deciding whether it may query", rows)


def _cached(snapshot: Snapshot, key: KeyPair, seconds: float) -> Row:
    tokens = _repeat(key.sign(claims()))
    return _row(f"JWT seen before, {key.algorithm}", snapshot, tokens, seconds, _BUDGET)


def _fresh(snapshot: Snapshot, key: KeyPair, seconds: float) -> Row:
    tokens = iter([key.sign(claims(jti=str(number))) for number in range(_JWTS)])
    return _row(f"JWT for the first time, {key.algorithm}", snapshot, tokens, seconds, "")


def _row(name: str, snapshot: Snapshot, tokens: Iterator[str], seconds: float, goal: str) -> Row:
    endpoint = snapshot.names["chat"]

    def decide() -> None:
        metadata = {"authorization": f"Bearer {next(tokens)}"}
        authorize(authenticate(snapshot, metadata, NOW * 1000), endpoint)

    return Row(name, _cpu_micros(decide, seconds), "µs", goal)


def _snapshot() -> Snapshot:
    """Return a snapshot of many callers; `alice` may query by one of her ten groups."""
    groups = [Membership(group_id=str(number), group_name=f"g{number}") for number in range(10)]
    alice = PrincipalResource(id="alice-id", name="alice", memberships=groups)
    held = [_TOKEN, *(secrets.token_hex(16) for _ in range(_TOKENS))]
    tokens = [
        TokenResource(id=str(number), digest=digest(token), principal_id="alice-id")
        for number, token in zip(count(), held, strict=False)
    ]
    grant = Grant(grantee_id="9", level=PermissionLevel.PERMISSION_LEVEL_CAN_QUERY)
    chat = EndpointResource(id="chat-id", name="chat", grants=[grant])
    builder = SnapshotBuilder(Snapshot(), Random(1))
    builder.apply(
        ConfigDelta(
            revision=1,
            endpoints=[chat],
            principals=[alice],
            tokens=tokens,
            issuers=[issuer_resource()],
        )
    )
    return builder.build(1, "bench")


def _repeat(token: str) -> Iterator[str]:
    while True:
        yield token


def _cpu_micros(work: Callable[[], None], seconds: float) -> float:
    """Return the CPU time of a call; it ends early when `work` has nothing left to do."""
    work()
    done = 0
    start = time.process_time()
    try:
        while time.process_time() - start < seconds:
            for _ in range(50):
                work()
            done += 50
    except StopIteration:
        pass
    return (time.process_time() - start) / done * 1e6
