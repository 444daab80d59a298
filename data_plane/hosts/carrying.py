"""What carriers of calls have in common: `rest.py` and `grpc/calls.py`."""

import re
from collections.abc import Mapping
from uuid import uuid4

from modelplane.adapters.shared.rpc.metadata import REQUEST_ID, Metadata
from modelplane.adapters.shared.rpc.status import trailing_metadata
from modelplane.data_plane.errors import Refusal

_REQUEST_ID = re.compile(r"[!-~]{1,128}")


def request_id_of(metadata: Mapping[str, str]) -> str:
    """Return the id that the caller gave the call, or a new one."""
    request_id = metadata.get(REQUEST_ID, "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else str(uuid4())


def refusal_trailers(refusal: Refusal, request_id: str) -> Metadata:
    """Return the trailing metadata of a refused call."""
    own = trailing_metadata(refusal.status, refusal.retry_after)
    return (*own, (REQUEST_ID, request_id), *refusal.metadata)
