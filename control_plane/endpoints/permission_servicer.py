"""RPC shell of permissions: unpack, call `permissions`, pack."""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from modelserving.v1 import permission_service_pb2 as pb
from modelserving.v1.permission_service_pb2_grpc import PermissionServiceServicer

from modelplane.control_plane.endpoints.permissions import (
    Access,
    EndpointPermissions,
    GrantInput,
    Permissions,
)
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.principal import Level, current_principal
from modelplane.control_plane.store.identity.grantees import GranteeKind

OBJECT_TYPE = "serving-endpoints"

MAX_FOUND = 100
_FOUND = 20
_MAX_SEARCH = 128

_Context = grpc.aio.ServicerContext[Any, Any]

_DESCRIPTIONS: Mapping[Level, str] = {
    Level.CAN_VIEW: "Can read the endpoint",
    Level.CAN_QUERY: "Can read and query the endpoint",
    Level.CAN_MANAGE: "Can read, query, change and delete the endpoint, and grant permissions",
}
_FIELDS: Mapping[GranteeKind, str] = {
    GranteeKind.USER: "user_name",
    GranteeKind.GROUP: "group_name",
    GranteeKind.SERVICE_PRINCIPAL: "service_principal_name",
}


class PermissionServicer(PermissionServiceServicer):
    """Answers the calls under `/api/2.0/permissions`, and `/api/2.0/principals`."""

    def __init__(self, permissions: EndpointPermissions) -> None:
        self._permissions = permissions

    async def GetPermissions(
        self, request: pb.GetPermissionsRequest, context: _Context
    ) -> pb.ObjectPermissions:
        """Read who may do what."""
        _check_type(request.request_object_type)
        endpoint_id = request.request_object_id
        return _pack(await self._permissions.get(current_principal.get(), endpoint_id))

    async def SetPermissions(
        self, request: pb.SetPermissionsRequest, context: _Context
    ) -> pb.ObjectPermissions:
        """Replace the direct permissions."""
        _check_type(request.request_object_type)
        endpoint_id, given = request.request_object_id, _unpack(request.access_control_list)
        permissions = await self._permissions.replace(current_principal.get(), endpoint_id, given)
        return _pack(permissions)

    async def UpdatePermissions(
        self, request: pb.UpdatePermissionsRequest, context: _Context
    ) -> pb.ObjectPermissions:
        """Grant permissions."""
        _check_type(request.request_object_type)
        endpoint_id, given = request.request_object_id, _unpack(request.access_control_list)
        permissions = await self._permissions.merge(current_principal.get(), endpoint_id, given)
        return _pack(permissions)

    async def FindPrincipals(
        self, request: pb.FindPrincipalsRequest, context: _Context
    ) -> pb.FindPrincipalsResponse:
        """Find those to whom something can be granted."""
        most = _check_search(request)
        found = await self._permissions.find_grantees(current_principal.get(), request.search, most)
        return pb.FindPrincipalsResponse(
            principals=[
                pb.FoundPrincipal(
                    kind=one.kind.name, name=one.name, display_name=one.display_name or None
                )
                for one in found
            ]
        )

    async def GetPermissionLevels(
        self, request: pb.GetPermissionLevelsRequest, context: _Context
    ) -> pb.GetPermissionLevelsResponse:
        """List the levels that can be granted."""
        _check_type(request.request_object_type)
        await self._permissions.check_visible(current_principal.get(), request.request_object_id)
        return pb.GetPermissionLevelsResponse(
            permission_levels=[
                pb.PermissionsDescription(permission_level=level.name, description=description)
                for level, description in _DESCRIPTIONS.items()
            ]
        )


def _check_search(request: pb.FindPrincipalsRequest) -> int:
    """Return how many are wanted."""
    if len(request.search) > _MAX_SEARCH:
        raise InvalidParameter(f"'search' must have at most {_MAX_SEARCH} characters.")
    if not request.HasField("max_results"):
        return _FOUND
    if not 1 <= request.max_results <= MAX_FOUND:
        raise InvalidParameter(f"'max_results' must be from 1 to {MAX_FOUND}.")
    return request.max_results


def _check_type(object_type: str) -> None:
    if object_type != OBJECT_TYPE:
        raise InvalidParameter(
            f"Objects of type '{object_type[:100]}' have no permissions here; only {OBJECT_TYPE} "
            "have."
        )


def _unpack(entries: Iterable[pb.AccessControlRequest]) -> list[GrantInput]:
    return [_unpack_one(place, entry) for place, entry in enumerate(entries)]


def _unpack_one(place: int, entry: pb.AccessControlRequest) -> GrantInput:
    names = {
        kind: getattr(entry, field) for kind, field in _FIELDS.items() if getattr(entry, field)
    }
    if len(names) != 1:
        raise InvalidParameter(
            f"access_control_list[{place}] must have exactly one of {', '.join(_FIELDS.values())}."
        )
    ((kind, name),) = names.items()
    if entry.permission_level not in {level.name for level in _DESCRIPTIONS}:
        raise InvalidParameter(
            f"access_control_list[{place}].permission_level is '{entry.permission_level[:100]}'; "
            f"use one of {', '.join(level.name for level in _DESCRIPTIONS)}."
        )
    return GrantInput(kind, name, Level[entry.permission_level])


def _pack(permissions: Permissions) -> pb.ObjectPermissions:
    return pb.ObjectPermissions(
        object_id=f"/{OBJECT_TYPE}/{permissions.endpoint_id}",
        object_type="serving-endpoint",
        access_control_list=[_pack_one(item) for item in permissions.access],
    )


def _pack_one(access: Access) -> pb.AccessControlResponse:
    entry = pb.AccessControlResponse(display_name=access.grantee.display_name or None)
    setattr(entry, _FIELDS[access.grantee.kind], access.grantee.name)
    if access.granted:
        entry.all_permissions.add(permission_level=access.granted.name)
    if access.inherited:
        entry.all_permissions.add(
            permission_level=access.inherited.name,
            inherited=True,
            inherited_from_object=[f"/{OBJECT_TYPE}/"],
        )
    return entry
