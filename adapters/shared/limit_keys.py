"""What a rate limit may count by, read off the protos, and which counter it has.

The control plane accepts no other key, and a worker that does not know one of them does not start.
"""

from hashlib import sha256

from google.protobuf.descriptor import FieldDescriptor
from modelserving.v1 import rules_pb2
from modelserving.v1.ai_gateway_pb2 import AiGatewayRateLimit
from modelserving.v1.endpoint_pb2 import RateLimit

_KEY_BYTES = 16


def _accepted(field: FieldDescriptor) -> tuple[str, ...]:
    return tuple(field.GetOptions().Extensions[rules_pb2.accepted])


# Of limits in the AI Gateway's settings, and of the deprecated ones beside them.
LIMIT_KEYS = _accepted(AiGatewayRateLimit.DESCRIPTOR.fields_by_name["key"])
OLD_LIMIT_KEYS = _accepted(RateLimit.DESCRIPTOR.fields_by_name["key"])


def counter_key(endpoint_id: str, unit: str, subject: str) -> bytes:
    """Return what identifies the counter of a limit; 16 bytes.

    Identifiers of principals and groups differ, so a caller keeps one counter for each unit,
    whichever of the endpoint's limits applies.

    Args:
        endpoint_id: Identifier of the endpoint.
        unit: What is counted, `requests` or `tokens`.
        subject: Identifier of the principal or group; empty: all callers together.
    """
    return sha256(f"{endpoint_id}\0{unit}\0{subject}".encode()).digest()[:_KEY_BYTES]
