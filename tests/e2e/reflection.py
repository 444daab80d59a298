"""The reflection of the public port, for a caller with a token."""

from typing import Any, TypeAlias

import grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

Metadata: TypeAlias = tuple[tuple[str, str], ...]


class _WithMetadata(grpc.StreamStreamClientInterceptor):
    """Adds metadata to each call."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def intercept_stream_stream(
        self, continuation: Any, client_call_details: Any, request_iterator: Any
    ) -> Any:
        details = client_call_details._replace(metadata=self._metadata)
        return continuation(details, request_iterator)


def reflected(channel: grpc.Channel, metadata: Metadata) -> ProtoReflectionDescriptorDatabase:
    """Return what reflection tells a caller who sends this metadata."""
    return ProtoReflectionDescriptorDatabase(
        grpc.intercept_channel(channel, _WithMetadata(metadata))
    )
