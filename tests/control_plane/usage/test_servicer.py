from typing import Any

import pytest
from modelserving.v1.usage_service_pb2 import ListUsageRequest

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.usage.servicer import UsageServicer

CONTEXT: Any = None
NOBODY: Any = None


@pytest.mark.parametrize("wrong", ["", "abc", "42", "4x", "xx", "600", "6xx", "4290"])
async def test_what_is_no_status_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidParameter, match="'status_code' must be a status such as 429"):
        await UsageServicer(NOBODY, NOBODY).ListUsage(ListUsageRequest(status_code=wrong), CONTEXT)


async def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="'state' must be one of RUNNING, ENDED, UNKNOWN"):
        await UsageServicer(NOBODY, NOBODY).ListUsage(ListUsageRequest(state="DONE"), CONTEXT)
