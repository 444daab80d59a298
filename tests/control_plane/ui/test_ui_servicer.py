from typing import Any

import pytest
from modelserving.v1 import ui_service_pb2 as pb

from modelplane.control_plane.answer_headers import answer_headers
from modelplane.control_plane.errors import NotFound
from modelplane.control_plane.ui.assets import Asset
from modelplane.control_plane.ui.ui_servicer import UiServicer

CONTEXT: Any = None
SERVICER = UiServicer({"a.js": Asset(b"void 0", "text/javascript", "no-cache")})


async def test_a_file_comes_with_its_type_and_how_long_it_may_be_kept() -> None:
    body = await SERVICER.GetUiFile(pb.GetUiFileRequest(path="a.js"), CONTEXT)
    assert (body.data, body.content_type) == (b"void 0", "text/javascript")
    assert answer_headers.get() == (("cache-control", "no-cache"),)


@pytest.mark.parametrize("path", ["", "b.js", "../a.js", "./a.js", "/a.js"])
async def test_no_other_path_is_a_file(path: str) -> None:
    with pytest.raises(NotFound):
        await SERVICER.GetUiFile(pb.GetUiFileRequest(path=path), CONTEXT)
