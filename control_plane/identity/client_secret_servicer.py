"""RPC shell of client secrets: unpack, call `client_secrets`, pack."""

from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from modelserving.v1 import client_secret_service_pb2 as pb
from modelserving.v1.client_secret_service_pb2_grpc import ClientSecretServiceServicer

from modelplane.control_plane.clock import Clock
from modelplane.control_plane.identity.client_secrets import ClientSecrets
from modelplane.control_plane.principal import current_principal
from modelplane.control_plane.store.identity.client_secrets import StoredClientSecret

_Context = grpc.aio.ServicerContext[Any, Any]


class ClientSecretServicer(ClientSecretServiceServicer):
    """Answers the calls under `/api/2.0/accounts/servicePrincipals`."""

    def __init__(self, secrets: ClientSecrets, clock: Clock) -> None:
        self._secrets = secrets
        self._clock = clock

    async def CreateClientSecret(
        self, request: pb.CreateClientSecretRequest, context: _Context
    ) -> pb.CreateClientSecretResponse:
        """Create a secret."""
        created = await self._secrets.create(
            current_principal.get(),
            request.service_principal_id,
            lifetime=request.lifetime if request.HasField("lifetime") else None,
            scopes=request.scopes,
        )
        stored = created.stored
        return pb.CreateClientSecretResponse(
            id=stored.id,
            secret=created.value,
            secret_hash=stored.digest.hex(),
            status="ACTIVE",
            create_time=_timestamp(stored.created_ms),
            update_time=_timestamp(stored.created_ms),
            expire_time=_timestamp(stored.expiry_ms),
        )

    async def ListClientSecrets(
        self, request: pb.ListClientSecretsRequest, context: _Context
    ) -> pb.ListClientSecretsResponse:
        """List the secrets of a service principal."""
        found = await self._secrets.list_all(current_principal.get(), request.service_principal_id)
        now_ms = self._clock()
        return pb.ListClientSecretsResponse(secrets=[_public(item, now_ms) for item in found])

    async def DeleteClientSecret(
        self, request: pb.DeleteClientSecretRequest, context: _Context
    ) -> pb.DeleteClientSecretResponse:
        """Delete a secret."""
        await self._secrets.delete(
            current_principal.get(), request.service_principal_id, request.secret_id
        )
        return pb.DeleteClientSecretResponse()


def _public(stored: StoredClientSecret, now_ms: int) -> pb.ClientSecret:
    return pb.ClientSecret(
        id=stored.id,
        secret_hash=stored.digest.hex(),
        status="ACTIVE" if stored.expiry_ms > now_ms else "INACTIVE",
        create_time=_timestamp(stored.created_ms),
        update_time=_timestamp(stored.created_ms),
        expire_time=_timestamp(stored.expiry_ms),
    )


def _timestamp(milliseconds: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMilliseconds(milliseconds)
    return stamp
