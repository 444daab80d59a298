"""RPC shell of secrets: unpack, call `secrets`, pack."""

from typing import Any

import grpc
from modelserving.v1 import secret_service_pb2 as pb
from modelserving.v1.secret_service_pb2_grpc import SecretServiceServicer

from control_plane.authentication import current_principal
from control_plane.errors import InvalidParameter
from control_plane.secrets import Secrets

_Context = grpc.aio.ServicerContext[Any, Any]


class SecretServicer(SecretServiceServicer):
    """Answers the calls under `/api/2.0/secrets`."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def CreateScope(
        self, request: pb.CreateScopeRequest, context: _Context
    ) -> pb.CreateScopeResponse:
        """Create a scope."""
        await self._secrets.create_scope(
            current_principal.get(),
            request.scope,
            backend=request.scope_backend_type,
            manager=request.initial_manage_principal,
        )
        return pb.CreateScopeResponse()

    async def ListScopes(
        self, request: pb.ListScopesRequest, context: _Context
    ) -> pb.ListScopesResponse:
        """List all scopes."""
        names = await self._secrets.list_scopes()
        return pb.ListScopesResponse(
            scopes=[pb.SecretScope(name=name, backend_type="DATABRICKS") for name in names]
        )

    async def DeleteScope(
        self, request: pb.DeleteScopeRequest, context: _Context
    ) -> pb.DeleteScopeResponse:
        """Delete a scope and the secrets in it."""
        await self._secrets.delete_scope(current_principal.get(), request.scope)
        return pb.DeleteScopeResponse()

    async def PutSecret(
        self, request: pb.PutSecretRequest, context: _Context
    ) -> pb.PutSecretResponse:
        """Store a secret."""
        name = (request.scope, request.key)
        await self._secrets.put(current_principal.get(), name, _value(request))
        return pb.PutSecretResponse()

    async def ListSecrets(
        self, request: pb.ListSecretsRequest, context: _Context
    ) -> pb.ListSecretsResponse:
        """List the keys of a scope."""
        secrets = await self._secrets.list_secrets(request.scope)
        return pb.ListSecretsResponse(
            secrets=[
                pb.SecretMetadata(key=secret.key, last_updated_timestamp=secret.updated_ms)
                for secret in secrets
            ]
        )

    async def DeleteSecret(
        self, request: pb.DeleteSecretRequest, context: _Context
    ) -> pb.DeleteSecretResponse:
        """Delete a secret."""
        await self._secrets.delete(current_principal.get(), (request.scope, request.key))
        return pb.DeleteSecretResponse()


def _value(request: pb.PutSecretRequest) -> bytes:
    if request.HasField("string_value") == request.HasField("bytes_value"):
        raise InvalidParameter("Give exactly one of string_value and bytes_value.")
    if request.HasField("string_value"):
        return request.string_value.encode()
    return request.bytes_value
