"""RPC shell of logging in: unpack, call `oauth`, pack.

Its calls come without an access token; `interceptor` lets them through.
"""

from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_der_public_key
from modelserving.v1 import oauth_service_pb2 as pb
from modelserving.v1.oauth_service_pb2_grpc import OAuthServiceServicer

from modelplane.adapters.shared.jwt.keys import EDDSA
from modelplane.adapters.shared.jwt.tokens import encode
from modelplane.adapters.shared.rpc.metadata import (
    AUTHORIZATION,
    ORIGIN,
    as_mapping,
    caller_address,
)
from modelplane.control_plane.errors import InvalidClient, LoginUnavailable, StoreUnavailable
from modelplane.control_plane.identity.failed_logins import FailedLogins
from modelplane.control_plane.identity.oauth import CLIENT_CREDENTIALS, SCOPE, OAuth, parse_login
from modelplane.control_plane.secrets.signing import TOKEN_SECONDS

_Context = grpc.aio.ServicerContext[Any, Any]


class OAuthServicer(OAuthServiceServicer):
    """Answers the calls under `/oidc`."""

    def __init__(self, oauth: OAuth, failed: FailedLogins) -> None:
        self._oauth = oauth
        self._failed = failed

    async def IssueToken(
        self, request: pb.IssueTokenRequest, context: _Context
    ) -> pb.IssueTokenResponse:
        """Issue a token."""
        metadata = as_mapping(context.invocation_metadata())
        address = caller_address(metadata)
        self._failed.check_address(address, "check the client id and the client secret, and retry.")
        form = request.form
        login = parse_login(form.content_type, form.data, metadata.get(AUTHORIZATION))
        self._failed.check_client(address, login.client_id)
        try:
            token = await self._oauth.issue(login)
        except InvalidClient:
            self._failed.note_failure(address, login.client_id)
            raise
        except StoreUnavailable as error:
            raise LoginUnavailable(str(error)) from error
        self._failed.note_success(address, login.client_id)
        return pb.IssueTokenResponse(
            access_token=token,
            token_type="Bearer",  # noqa: S106 - no password
            expires_in=TOKEN_SECONDS,
            scope=SCOPE,
        )

    async def GetAuthorizationServer(
        self, request: pb.GetAuthorizationServerRequest, context: _Context
    ) -> pb.AuthorizationServer:
        """Tell where and how tokens are issued."""
        # Envoy says under which address the client reached it.
        origin = as_mapping(context.invocation_metadata()).get(ORIGIN, "")
        return pb.AuthorizationServer(
            issuer=(await self._oauth.public_keys()).issuer,
            token_endpoint=f"{origin}/oidc/v1/token",
            jwks_uri=f"{origin}/oidc/jwks",
            grant_types_supported=[CLIENT_CREDENTIALS],
            token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post"],
            scopes_supported=[SCOPE],
        )

    async def GetJsonWebKeySet(
        self, request: pb.GetJsonWebKeySetRequest, context: _Context
    ) -> pb.JsonWebKeySet:
        """Tell the keys that tokens are signed with."""
        keys = (await self._oauth.public_keys()).keys
        return pb.JsonWebKeySet(keys=[_key(key_id, der) for key_id, der in keys.items()])


def _key(key_id: str, der: bytes) -> pb.JsonWebKey:
    public = load_der_public_key(der)
    assert isinstance(public, ed25519.Ed25519PublicKey)  # noqa: S101 - made by `secrets.signing`
    x = encode(public.public_bytes_raw())
    return pb.JsonWebKey(kty="OKP", crv="Ed25519", x=x, kid=key_id, alg=EDDSA, use="sig")
