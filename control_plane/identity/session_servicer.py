"""RPC shell of sessions: unpack, call `sessions`, pack, and set the cookie."""

from collections.abc import Mapping
from typing import Any

import grpc
from modelserving.v1 import session_service_pb2 as pb
from modelserving.v1.session_service_pb2_grpc import SessionServiceServicer

from modelplane.adapters.shared.rpc.authorization import digest, parse_token
from modelplane.adapters.shared.rpc.metadata import AUTHORIZATION, ORIGIN, as_mapping
from modelplane.control_plane.answer_headers import answer_headers
from modelplane.control_plane.errors import PermissionDenied
from modelplane.control_plane.identity.session_cookie import set_cookie
from modelplane.control_plane.identity.sessions import SESSION_SECONDS, NewSession, Sessions
from modelplane.control_plane.principal import current_principal
from modelplane.control_plane.store.identity.tokens import StoredToken

_Context = grpc.aio.ServicerContext[Any, Any]

# Whose page a browser makes a call for (W3C Fetch Metadata); programs do not send it.
_SITE = "sec-fetch-site"
_OWN_PAGE = "same-origin"


class SessionServicer(SessionServiceServicer):
    """Answers the calls under `/api/2.0/ui/sessions`."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: _Context
    ) -> pb.Session:
        """Begin a session with an access token."""
        metadata = as_mapping(context.invocation_metadata())
        check_may_begin(metadata)
        user_agent = metadata.get("user-agent", "")
        created = await self._sessions.create(current_principal.get(), _token(metadata), user_agent)
        return begun(metadata, created)

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: _Context
    ) -> pb.ListSessionsResponse:
        """List the sessions of the caller."""
        own = digest(_token(as_mapping(context.invocation_metadata())))
        found = await self._sessions.list_own(current_principal.get())
        return pb.ListSessionsResponse(sessions=[_session(item, own) for item in found])

    async def DeleteSession(
        self, request: pb.DeleteSessionRequest, context: _Context
    ) -> pb.DeleteSessionResponse:
        """End a session of the caller."""
        metadata = as_mapping(context.invocation_metadata())
        caller = current_principal.get()
        if await self._sessions.delete_own(caller, request.session_id, _token(metadata)):
            _answer_cookie(metadata, "", 0)
        return pb.DeleteSessionResponse()


def check_may_begin(metadata: Mapping[str, str]) -> None:
    """Check that a call with this metadata may begin a session.

    Raises:
        InvalidParameter: Its cookie would go over the network in the clear.
        PermissionDenied: A page of another origin makes it, which could sign its own user in.
    """
    if metadata.get(_SITE, _OWN_PAGE) != _OWN_PAGE:
        raise PermissionDenied("Only the pages of this deployment may begin a session.")
    # What cannot be told safely is not made.
    set_cookie(metadata.get(ORIGIN, ""), "", 0)


def begun(metadata: Mapping[str, str], created: NewSession) -> pb.Session:
    """Return a session that has just begun, and have the answer set its cookie."""
    session = created.stored
    lifetime_ms = (session.expiry_ms or session.created_ms) - session.created_ms
    _answer_cookie(metadata, created.value, min(SESSION_SECONDS, lifetime_ms // 1000))
    return _session(session, session.digest)


def _token(metadata: Mapping[str, str]) -> str:
    # There is one, or the call would not have come here.
    return parse_token(metadata.get(AUTHORIZATION)) or ""


def _answer_cookie(metadata: Mapping[str, str], value: str, seconds: int) -> None:
    cookie = set_cookie(metadata.get(ORIGIN, ""), value, seconds)
    answer_headers.set((("set-cookie", cookie), ("cache-control", "no-store")))


def _session(stored: StoredToken, own: bytes) -> pb.Session:
    return pb.Session(
        session_id=stored.id,
        created_time=stored.created_ms,
        expires_time=stored.expiry_ms or 0,
        user_agent=stored.comment,
        current=stored.digest == own,
    )
