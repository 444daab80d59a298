"""RPC shell of signing in at an outside issuer: unpack, call `sign_ins`, pack, and set the cookie.

Its calls come without an access token; `interceptor` lets them through.
"""

from collections.abc import Mapping
from typing import Any

import grpc
from modelserving.v1 import session_service_pb2
from modelserving.v1 import sign_in_service_pb2 as pb
from modelserving.v1.sign_in_service_pb2_grpc import SignInServiceServicer

from modelplane.adapters.shared.rpc.metadata import ORIGIN, as_mapping, caller_address
from modelplane.control_plane.errors import Unauthenticated
from modelplane.control_plane.identity.failed_logins import FailedLogins
from modelplane.control_plane.identity.session_servicer import begun, check_may_begin
from modelplane.control_plane.identity.sign_ins import SignIns

_Context = grpc.aio.ServicerContext[Any, Any]


class SignInServicer(SignInServiceServicer):
    """Answers the calls under `/api/2.0/ui/sign-in`."""

    def __init__(self, sign_ins: SignIns, failed: FailedLogins) -> None:
        self._sign_ins = sign_ins
        self._failed = failed

    async def ListSignInMethods(
        self, request: pb.ListSignInMethodsRequest, context: _Context
    ) -> pb.ListSignInMethodsResponse:
        """List the issuers with whose accounts one can sign in."""
        methods = self._sign_ins.methods()
        listed = [pb.SignInMethod(issuer=item.issuer, label=item.label) for item in methods]
        return pb.ListSignInMethodsResponse(methods=listed)

    async def BeginSignIn(
        self, request: pb.BeginSignInRequest, context: _Context
    ) -> pb.BeginSignInResponse:
        """Tell where the issuer asks who is there."""
        metadata = as_mapping(context.invocation_metadata())
        check_may_begin(metadata)
        url = await self._sign_ins.begin(
            request.issuer, request.code_challenge, request.state, _page(metadata)
        )
        return pb.BeginSignInResponse(authorization_url=url)

    async def CompleteSignIn(
        self, request: pb.CompleteSignInRequest, context: _Context
    ) -> session_service_pb2.Session:
        """Begin a session with the code of an issuer."""
        metadata = as_mapping(context.invocation_metadata())
        check_may_begin(metadata)
        # No guess at anything, and not held up as one.
        self._sign_ins.check_offered(request.issuer)
        address = caller_address(metadata)
        self._failed.check_address(address, "sign in again later.")
        try:
            created = await self._sign_ins.complete(
                request.issuer,
                request.code,
                request.code_verifier,
                _page(metadata),
                metadata.get("user-agent", ""),
            )
        except Unauthenticated:
            self._failed.note_failure(address)
            raise
        return begun(metadata, created)


def _page(metadata: Mapping[str, str]) -> str:
    """Return the address of the pages, under which the issuer must know them; empty: none."""
    # Envoy says under which address the browser reached it.
    origin = metadata.get(ORIGIN, "")
    return f"{origin}/ui/" if origin else ""
