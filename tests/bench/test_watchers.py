"""What the benchmark's watchers count of what workers are told."""

from modelserving.worker.v1.snapshot_pb2 import EndpointResource, SecretResource
from modelserving.worker.v1.snapshot_service_pb2 import (
    ConfigDelta,
    WatchConfigRequest,
    WatchConfigResponse,
)

from bench.watchers import Watchers


class _Stream:
    """Takes acknowledgements."""

    def __init__(self) -> None:
        self.acked: list[int] = []

    def send(self, message: bytes) -> None:
        self.acked.append(WatchConfigRequest.FromString(message).ack.revision)


async def test_a_new_value_of_a_secret_is_counted_as_well_as_an_endpoint() -> None:
    watchers, stream = Watchers(2), _Stream()
    delta = ConfigDelta(
        revision=7,
        endpoints=[EndpointResource(id="e-1")],
        rotated_secrets=[SecretResource(name="bench/key", value="sk")],
    )
    for _ in range(2):
        watchers._take(stream, WatchConfigResponse(delta=delta).SerializeToString())  # type: ignore[arg-type]
    assert stream.acked == [7, 7]
    first = await watchers.wait_acknowledged("e-1", 1)
    assert await watchers.wait_acknowledged("bench/key", 1) >= first
