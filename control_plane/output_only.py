"""Takes out of a request what only answers hold: clients send back what they got.

Which fields that are is the annotation `OUTPUT_ONLY` of the protos (AIP-203). Before:
`interceptor`. Beside: `not_available`.
"""

from collections.abc import Mapping

from google.api.field_behavior_pb2 import OUTPUT_ONLY, field_behavior
from google.protobuf.message import Message


def clear_output_only(request: Message) -> None:
    """Clear each field of a request, however deep, that is output only."""
    for field, value in request.ListFields():
        if OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior]:
            request.ClearField(field.name)
        elif isinstance(value, Message):
            clear_output_only(value)
        elif field.message_type and not isinstance(value, Mapping):
            for item in value:
                clear_output_only(item)
