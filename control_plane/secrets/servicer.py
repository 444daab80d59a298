"""RPC shell of secrets: unpack, call `scopes` and `scope_acls`, pack."""

from typing import Any

import grpc
from modelserving.v1 import secret_service_pb2 as pb
from modelserving.v1.secret_service_pb2_grpc import SecretServiceServicer

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import current_principal
from modelplane.control_plane.secrets.scope_acls import AclEntry, ScopeAcls
from modelplane.control_plane.secrets.scopes import Secrets

_Context = grpc.aio.ServicerContext[Any, Any]


class SecretServicer(SecretServiceServicer):
    """Answers the calls under `/api/2.0/secrets`."""

    def __init__(self, secrets: Secrets, acls: ScopeAcls) -> None:
        self._secrets = secrets
        self._acls = acls

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
        """List the scopes that the caller may see."""
        scopes = await self._secrets.list_scopes(current_principal.get())
        return pb.ListScopesResponse(
            scopes=[pb.SecretScope(name=item.name, backend_type=item.backend) for item in scopes]
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

    async def GetSecret(
        self, request: pb.GetSecretRequest, context: _Context
    ) -> pb.GetSecretResponse:
        """Refuse to return a secret."""
        name = (request.scope, request.key)
        await self._secrets.check_get(current_principal.get(), name)
        return pb.GetSecretResponse()

    async def ListSecrets(
        self, request: pb.ListSecretsRequest, context: _Context
    ) -> pb.ListSecretsResponse:
        """List the keys of a scope."""
        secrets = await self._secrets.list_secrets(current_principal.get(), request.scope)
        return pb.ListSecretsResponse(
            secrets=[
                pb.SecretMetadata(key=secret.key, last_updated_timestamp=secret.updated_ms)
                for secret in secrets
            ]
        )

    async def ListSecretUses(
        self, request: pb.ListSecretUsesRequest, context: _Context
    ) -> pb.ListSecretUsesResponse:
        """List the endpoints that use the secrets of a scope."""
        key = request.key if request.HasField("key") else None
        uses, others = await self._secrets.list_uses(current_principal.get(), request.scope, key)
        return pb.ListSecretUsesResponse(
            uses=[
                pb.SecretUse(key=use.key, endpoint_name=use.endpoint, config_version=use.version)
                for use in uses
            ],
            other_uses=others,
        )

    async def DeleteSecret(
        self, request: pb.DeleteSecretRequest, context: _Context
    ) -> pb.DeleteSecretResponse:
        """Delete a secret."""
        await self._secrets.delete(current_principal.get(), (request.scope, request.key))
        return pb.DeleteSecretResponse()

    async def PutAcl(self, request: pb.PutAclRequest, context: _Context) -> pb.PutAclResponse:
        """Set what a principal may do with a scope."""
        await self._acls.put(
            current_principal.get(),
            request.scope,
            grantee=request.principal,
            permission=request.permission,
        )
        return pb.PutAclResponse()

    async def GetAcl(self, request: pb.GetAclRequest, context: _Context) -> pb.AclItem:
        """Get what a principal may do with a scope."""
        entry = await self._acls.get(current_principal.get(), request.scope, request.principal)
        return _item(entry)

    async def ListAcls(self, request: pb.ListAclsRequest, context: _Context) -> pb.ListAclsResponse:
        """Get the access control list of a scope."""
        entries = await self._acls.list_all(current_principal.get(), request.scope)
        return pb.ListAclsResponse(items=[_item(entry) for entry in entries])

    async def DeleteAcl(
        self, request: pb.DeleteAclRequest, context: _Context
    ) -> pb.DeleteAclResponse:
        """Take a principal out of the access control list of a scope."""
        await self._acls.delete(current_principal.get(), request.scope, request.principal)
        return pb.DeleteAclResponse()


def _value(request: pb.PutSecretRequest) -> bytes:
    if request.HasField("string_value") == request.HasField("bytes_value"):
        raise InvalidParameter("Give exactly one of string_value and bytes_value.")
    if request.HasField("string_value"):
        return request.string_value.encode()
    return request.bytes_value


def _item(entry: AclEntry) -> pb.AclItem:
    return pb.AclItem(principal=entry.grantee, permission=entry.permission.name)
