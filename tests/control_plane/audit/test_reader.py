"""What cannot be asked of the audit log is refused before the database is asked."""

import math
from typing import Any

import pytest

from modelplane.control_plane.audit.reader import AuditReader
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.audit import AuditFilter

NOBODY: Any = None
ADMIN = Principal("1", "admin", admin=True)


@pytest.mark.parametrize(
    "token", ["x", "-1", "1.5", "\u0661", "1" * 19, "00000000000000000001" + "9" * 30, "9" * 5000]
)
async def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidParameter, match="'page_token' must be"):
        await AuditReader(NOBODY).list(ADMIN, AuditFilter(), 1, token)


@pytest.mark.parametrize(
    "selected",
    [
        AuditFilter(start_ms=math.nan),
        AuditFilter(end_ms=math.inf),
        AuditFilter(end_ms=-1),
        AuditFilter(start_ms=2, end_ms=2),
        AuditFilter(outcome="FAILED"),
    ],
)
async def test_what_nothing_could_be_is_refused(selected: AuditFilter) -> None:
    with pytest.raises(InvalidParameter, match=r"start_time|end_time|'outcome' must be one of"):
        await AuditReader(NOBODY).list(ADMIN, selected, 1, "")
