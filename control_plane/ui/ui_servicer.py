"""RPC shell of the user interface's files.

Before: `interceptor`, which lets its calls through without a token. After: `assets`.
"""

from collections.abc import Mapping
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from modelserving.v1 import ui_service_pb2 as pb
from modelserving.v1.ui_service_pb2_grpc import UiServiceServicer

from modelplane.control_plane.answer_headers import answer_headers
from modelplane.control_plane.errors import NotFound
from modelplane.control_plane.ui.assets import Asset

_Context = grpc.aio.ServicerContext[Any, Any]


class UiServicer(UiServiceServicer):
    """Answers the calls under `/ui/`."""

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = assets

    async def GetUiFile(self, request: pb.GetUiFileRequest, context: _Context) -> HttpBody:
        """Read a file of the user interface."""
        del context
        asset = self._assets.get(request.path)
        if asset is None:
            raise NotFound("The user interface has no such file.")
        answer_headers.set((("cache-control", asset.cache_control),))
        return HttpBody(content_type=asset.content_type, data=asset.content)
