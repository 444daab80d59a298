"""RPC shell of the archive of protos.

Before: `interceptor`, whose callers are known. After: `archive`.
"""

from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from modelserving.v1 import proto_service_pb2 as pb
from modelserving.v1.proto_service_pb2_grpc import ProtoServiceServicer

_Context = grpc.aio.ServicerContext[Any, Any]


class ProtoServicer(ProtoServiceServicer):
    """Answers with an archive that it was given."""

    def __init__(self, archive: bytes) -> None:
        self._archive = archive

    async def GetProtos(self, request: pb.GetProtosRequest, context: _Context) -> HttpBody:
        """Read the protos and all that they import but protobuf's own, as a ZIP archive."""
        del request, context
        return HttpBody(content_type="application/zip", data=self._archive)
