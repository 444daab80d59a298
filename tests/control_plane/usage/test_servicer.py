import math
from typing import Any

import pytest
from modelserving.v1.usage_service_pb2 import ListUsageRequest

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Principal, current_principal
from modelplane.control_plane.usage.reader import UsageReader
from modelplane.control_plane.usage.servicer import UsageServicer

CONTEXT: Any = None
NOBODY: Any = None


async def list_as_admin(request: ListUsageRequest) -> None:
    token = current_principal.set(Principal("1", "admin", admin=True))
    try:
        await UsageServicer(UsageReader(NOBODY), NOBODY).ListUsage(request, CONTEXT)
    finally:
        current_principal.reset(token)


@pytest.mark.parametrize("wrong", ["", "abc", "42", "4x", "xx", "600", "6xx", "4290"])
async def test_what_is_no_status_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidParameter, match="'status_code' must be a status such as 429"):
        await UsageServicer(NOBODY, NOBODY).ListUsage(ListUsageRequest(status_code=wrong), CONTEXT)


async def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="'state' must be one of RUNNING, ENDED, UNKNOWN"):
        await UsageServicer(NOBODY, NOBODY).ListUsage(ListUsageRequest(state="DONE"), CONTEXT)


@pytest.mark.parametrize("given", [{"max_results": 10}, {"page_token": "1-a"}])
async def test_totals_have_no_pages(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter, match="totals come whole"):
        await list_as_admin(ListUsageRequest(group_by=["day"], **given))


@pytest.mark.parametrize(
    "given",
    [
        {"start_time": math.nan},
        {"start_time": 0, "end_time": math.nan},
        {"start_time": math.inf},
        {"end_time": -1},
        {"start_time": 2, "end_time": 1},
        {"min_latency_ms": math.nan},
        {"min_latency_ms": -1},
    ],
)
@pytest.mark.parametrize("group_by", [[], ["minute"]])
async def test_what_nothing_could_be_is_refused(given: dict[str, Any], group_by: list[str]) -> None:
    with pytest.raises(InvalidParameter, match=next(reversed(given))):
        await list_as_admin(ListUsageRequest(group_by=group_by, **given))
