"""What a rate limit may count by: read off the protos.

The control plane accepts no other key, and a worker that does not know one of them does not start.
"""

from google.protobuf.descriptor import FieldDescriptor
from modelserving.v1 import rules_pb2
from modelserving.v1.ai_gateway_pb2 import AiGatewayRateLimit
from modelserving.v1.endpoint_pb2 import RateLimit


def _accepted(field: FieldDescriptor) -> tuple[str, ...]:
    return tuple(field.GetOptions().Extensions[rules_pb2.accepted])


# Of limits in the AI Gateway's settings, and of the deprecated ones beside them.
LIMIT_KEYS = _accepted(AiGatewayRateLimit.DESCRIPTOR.fields_by_name["key"])
OLD_LIMIT_KEYS = _accepted(RateLimit.DESCRIPTOR.fields_by_name["key"])
