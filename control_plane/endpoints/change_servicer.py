"""RPC shell of changes: unpack, call `change_watch`, pack.

A call may wait for so long that what its caller may see has changed meanwhile: it is asked again
who that is before anything is told. After: `identity.authentication`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from modelserving.v1 import change_service_pb2 as pb
from modelserving.v1.change_service_pb2_grpc import ChangeServiceServicer

from modelplane.adapters.shared.rpc.metadata import AUTHORIZATION, as_mapping
from modelplane.control_plane.endpoints.change_watch import ChangeWatch, News
from modelplane.control_plane.endpoints.validation import MAX_NAME
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Principal, current_principal
from modelplane.control_plane.store.endpoints.change_log import Change
from modelplane.control_plane.store.states import Phase

MAX_SECONDS = 25
MAX_NAMES = 100
_MAX_DIGITS = 18
_ENDED = "ENDED"

_Context = grpc.aio.ServicerContext[Any, Any]
_Authenticate = Callable[[str | None], Awaitable[Principal]]


class ChangeServicer(ChangeServiceServicer):
    """Answers `/api/2.0/changes`."""

    def __init__(self, watch: ChangeWatch, authenticate: _Authenticate) -> None:
        """Keep the collaborators.

        Args:
            watch: Waits for changes.
            authenticate: Returns the principal that an `Authorization` header stands for.
        """
        self._watch = watch
        self._authenticate = authenticate

    async def WatchChanges(
        self, request: pb.WatchChangesRequest, context: _Context
    ) -> pb.WatchChangesResponse:
        """Wait for changes."""
        after, seconds = _read_revision(request), _read_seconds(request)
        names = frozenset(request.names)
        if len(names) > MAX_NAMES or any(len(name) > MAX_NAME for name in names):
            raise InvalidParameter(
                f"'names' must be at most {MAX_NAMES} names of endpoints; without any, changes of "
                "all are told."
            )
        if after is None:
            return _pack(await self._watch.newest())
        principal = current_principal.get()
        news = await self._watch.watch(principal, after, seconds, names)
        authorization = as_mapping(context.invocation_metadata()).get(AUTHORIZATION)
        if await self._authenticate(authorization) != principal:
            return _pack(News(news.revision, reset=True))
        return _pack(news)


def _read_revision(request: pb.WatchChangesRequest) -> int | None:
    text = request.after_revision
    if not request.HasField("after_revision"):
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise InvalidParameter("'after_revision' must be the 'revision' of another answer.")
    return int(text)


def _read_seconds(request: pb.WatchChangesRequest) -> int:
    if not request.HasField("timeout_seconds"):
        return MAX_SECONDS
    if not 0 <= request.timeout_seconds <= MAX_SECONDS:
        raise InvalidParameter(f"'timeout_seconds' must be from 0 to {MAX_SECONDS}.")
    return request.timeout_seconds


def _pack(news: News) -> pb.WatchChangesResponse:
    return pb.WatchChangesResponse(
        revision=str(news.revision),
        changes=[_pack_one(change) for change in news.changes],
        reset=news.reset,
    )


def _pack_one(change: Change) -> pb.Change:
    return pb.Change(
        kind=change.kind,
        name=change.name,
        config_version=change.config_version,
        phase=_ENDED if change.phase is Phase.SETTLED else change.phase.name,
        time=change.time_ms,
    )
