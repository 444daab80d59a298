"""RPC shell of access tokens: unpack, call `tokens`, pack."""

from typing import Any

import grpc
from modelserving.v1 import token_service_pb2 as pb
from modelserving.v1.token_service_pb2_grpc import TokenServiceServicer

from modelplane.control_plane.errors import NotSupported
from modelplane.control_plane.identity.tokens import NewToken, OwnedToken, Tokens
from modelplane.control_plane.principal import current_principal
from modelplane.control_plane.store.identity.tokens import StoredToken

_Context = grpc.aio.ServicerContext[Any, Any]

_NEVER = -1


class TokenServicer(TokenServiceServicer):
    """Answers the calls under `/api/2.0/token` and `/api/2.0/token-management`."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def CreateToken(
        self, request: pb.CreateTokenRequest, context: _Context
    ) -> pb.CreateTokenResponse:
        """Create a token of the caller."""
        created = await self._tokens.create(current_principal.get(), _wanted(request))
        info = _public(created.owned.token)
        return pb.CreateTokenResponse(token_value=created.value, token_info=info)

    async def ListTokens(
        self, request: pb.ListTokensRequest, context: _Context
    ) -> pb.ListTokensResponse:
        """List the tokens of the caller."""
        found = await self._tokens.list_own(current_principal.get())
        return pb.ListTokensResponse(token_infos=map(_public, found))

    async def DeleteToken(
        self, request: pb.DeleteTokenRequest, context: _Context
    ) -> pb.DeleteTokenResponse:
        """Revoke a token of the caller."""
        await self._tokens.delete_own(current_principal.get(), request.token_id)
        return pb.DeleteTokenResponse()

    async def ListManagedTokens(
        self, request: pb.ListManagedTokensRequest, context: _Context
    ) -> pb.ListManagedTokensResponse:
        """List the tokens of all."""
        by_id, by_name = request.HasField("created_by_id"), request.HasField("created_by_username")
        found = await self._tokens.list_all(
            current_principal.get(),
            owner_id=str(request.created_by_id) if by_id else None,
            owner=request.created_by_username if by_name else None,
        )
        return pb.ListManagedTokensResponse(token_infos=map(_managed, found))

    async def GetManagedToken(
        self, request: pb.GetManagedTokenRequest, context: _Context
    ) -> pb.GetManagedTokenResponse:
        """Read what is known of any token."""
        found = await self._tokens.get(current_principal.get(), request.token_id)
        return pb.GetManagedTokenResponse(token_info=_managed(found))

    async def DeleteManagedToken(
        self, request: pb.DeleteManagedTokenRequest, context: _Context
    ) -> pb.DeleteManagedTokenResponse:
        """Revoke any token."""
        await self._tokens.delete_any(current_principal.get(), request.token_id)
        return pb.DeleteManagedTokenResponse()

    async def CreateOnBehalfOfToken(
        self, request: pb.CreateOnBehalfOfTokenRequest, context: _Context
    ) -> pb.CreateOnBehalfOfTokenResponse:
        """Create a token of a service principal."""
        created = await self._tokens.create_on_behalf(
            current_principal.get(), request.application_id, _wanted(request)
        )
        info = _managed(created.owned)
        return pb.CreateOnBehalfOfTokenResponse(token_value=created.value, token_info=info)


def _wanted(request: pb.CreateTokenRequest | pb.CreateOnBehalfOfTokenRequest) -> NewToken:
    if request.scopes or request.autoscope_enabled:
        # Such a token would be able to do more than its owner asked for.
        raise NotSupported("Access tokens have no scopes here; leave out scopes and autoscoping.")
    seconds = request.lifetime_seconds if request.HasField("lifetime_seconds") else None
    return NewToken(request.comment, seconds)


def _public(token: StoredToken) -> pb.PublicTokenInfo:
    return pb.PublicTokenInfo(
        token_id=token.id,
        comment=token.comment,
        creation_time=token.created_ms,
        expiry_time=_NEVER if token.expiry_ms is None else token.expiry_ms,
    )


def _managed(owned: OwnedToken) -> pb.TokenInfo:
    token = owned.token
    return pb.TokenInfo(
        token_id=token.id,
        comment=token.comment,
        creation_time=token.created_ms,
        expiry_time=_NEVER if token.expiry_ms is None else token.expiry_ms,
        owner_id=int(token.principal_id),
        created_by_id=int(token.principal_id),
        created_by_username=owned.owner,
    )
