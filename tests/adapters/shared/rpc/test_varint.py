import pytest
from modelserving.worker.v1.usage_service_pb2 import UsageEntry

from modelplane.adapters.shared.rpc.varint import encode_varint


@pytest.mark.parametrize("value", [1, 127, 128, 300, 16_383, 16_384, 1 << 40, (1 << 63) - 1])
def test_a_number_is_encoded_as_messages_have_it(value: int) -> None:
    assert UsageEntry(time_ms=value).SerializeToString() == b"(" + encode_varint(value)


def test_zero_takes_a_byte() -> None:
    assert encode_varint(0) == b"\0"
