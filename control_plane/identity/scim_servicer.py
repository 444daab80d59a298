"""RPC shell of identities: unpack, call `identities` and `groups`, pack.

After: `scim` and `scim_query` read filters, patches and choices; `scim_views` packs.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
from modelserving.v1 import identity_service_pb2 as pb
from modelserving.v1.identity_pb2 import Group, Patch, ServicePrincipal, User
from modelserving.v1.identity_service_pb2_grpc import IdentityServiceServicer

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.identity import scim
from modelplane.control_plane.identity.groups import Groups
from modelplane.control_plane.identity.identities import Identities
from modelplane.control_plane.identity.scim import GroupState, PrincipalState
from modelplane.control_plane.identity.scim_query import M, check_order, select
from modelplane.control_plane.identity.scim_views import (
    LIST_SCHEMA,
    build_group,
    build_service_principal,
    build_user,
    parse_display_name,
)
from modelplane.control_plane.principal import PrincipalKind, current_principal
from modelplane.control_plane.store.identity.principals import Attribute, Page

_Context = grpc.aio.ServicerContext[Any, Any]
_ListRequest = pb.ListUsersRequest | pb.ListServicePrincipalsRequest | pb.ListGroupsRequest
_Selecting = (
    _ListRequest
    | pb.GetMeRequest
    | pb.GetUserRequest
    | pb.GetServicePrincipalRequest
    | pb.GetGroupRequest
)

_USER, _SERVICE_PRINCIPAL = PrincipalKind


class IdentityServicer(IdentityServiceServicer):
    """Answers the calls under `/api/2.0/preview/scim/v2`."""

    def __init__(self, identities: Identities, groups: Groups) -> None:
        self._identities = identities
        self._groups = groups

    async def GetMe(self, request: pb.GetMeRequest, context: _Context) -> User:
        """Read the caller."""
        found = build_user(await self._identities.me(current_principal.get()))
        return _selected(found, request)

    async def ListUsers(
        self, request: pb.ListUsersRequest, context: _Context
    ) -> pb.ListUsersResponse:
        """List users."""
        page = _page(request, scim.USER_COLUMNS, "userName")
        found, total = await self._identities.list(current_principal.get(), _USER, page)
        return pb.ListUsersResponse(
            schemas=[LIST_SCHEMA],
            total_results=total,
            start_index=page.offset + 1,
            items_per_page=len(found),
            resources=[_selected(build_user(item), request) for item in found],
        )

    async def GetUser(self, request: pb.GetUserRequest, context: _Context) -> User:
        """Read a user."""
        caller = current_principal.get()
        return _selected(build_user(await self._identities.get(caller, _USER, request.id)), request)

    async def CreateUser(self, request: pb.CreateUserRequest, context: _Context) -> User:
        """Create a user."""
        given = request.user
        created = await self._identities.create(
            current_principal.get(),
            _USER,
            given.user_name,
            parse_display_name(given),
            active=_active(given, default=True),
        )
        return build_user(created)

    async def ReplaceUser(self, request: pb.ReplaceUserRequest, context: _Context) -> User:
        """Replace a user."""
        given = request.user
        change = _replacement("userName", given.user_name, parse_display_name(given), given)
        return build_user(
            await self._identities.change(current_principal.get(), _USER, request.id, change)
        )

    async def PatchUser(self, request: pb.PatchUserRequest, context: _Context) -> User:
        """Change a user in part."""
        change = _patch_of_principal(request.patch)
        return build_user(
            await self._identities.change(current_principal.get(), _USER, request.id, change)
        )

    async def DeleteUser(
        self, request: pb.DeleteUserRequest, context: _Context
    ) -> pb.DeleteUserResponse:
        """Delete a user."""
        await self._identities.delete(current_principal.get(), _USER, request.id)
        return pb.DeleteUserResponse()

    async def ListServicePrincipals(
        self, request: pb.ListServicePrincipalsRequest, context: _Context
    ) -> pb.ListServicePrincipalsResponse:
        """List service principals."""
        page = _page(request, scim.SERVICE_PRINCIPAL_COLUMNS, "applicationId")
        caller = current_principal.get()
        found, total = await self._identities.list(caller, _SERVICE_PRINCIPAL, page)
        return pb.ListServicePrincipalsResponse(
            schemas=[LIST_SCHEMA],
            total_results=total,
            start_index=page.offset + 1,
            items_per_page=len(found),
            resources=[_selected(build_service_principal(item), request) for item in found],
        )

    async def GetServicePrincipal(
        self, request: pb.GetServicePrincipalRequest, context: _Context
    ) -> ServicePrincipal:
        """Read a service principal."""
        caller = current_principal.get()
        found = await self._identities.get(caller, _SERVICE_PRINCIPAL, request.id)
        return _selected(build_service_principal(found), request)

    async def CreateServicePrincipal(
        self, request: pb.CreateServicePrincipalRequest, context: _Context
    ) -> ServicePrincipal:
        """Create a service principal."""
        given = request.service_principal
        created = await self._identities.create(
            current_principal.get(),
            _SERVICE_PRINCIPAL,
            given.application_id,
            given.display_name,
            active=_active(given, default=True),
        )
        return build_service_principal(created)

    async def ReplaceServicePrincipal(
        self, request: pb.ReplaceServicePrincipalRequest, context: _Context
    ) -> ServicePrincipal:
        """Replace a service principal."""
        given = request.service_principal
        change = _replacement("applicationId", given.application_id, given.display_name, given)
        return await self._change_service_principal(request.id, change)

    async def PatchServicePrincipal(
        self, request: pb.PatchServicePrincipalRequest, context: _Context
    ) -> ServicePrincipal:
        """Change a service principal in part."""
        return await self._change_service_principal(request.id, _patch_of_principal(request.patch))

    async def DeleteServicePrincipal(
        self, request: pb.DeleteServicePrincipalRequest, context: _Context
    ) -> pb.DeleteServicePrincipalResponse:
        """Delete a service principal."""
        caller = current_principal.get()
        await self._identities.delete(caller, _SERVICE_PRINCIPAL, request.id)
        return pb.DeleteServicePrincipalResponse()

    async def ListGroups(
        self, request: pb.ListGroupsRequest, context: _Context
    ) -> pb.ListGroupsResponse:
        """List groups."""
        page = _page(request, scim.GROUP_COLUMNS, "displayName")
        found, total = await self._groups.list(current_principal.get(), page)
        return pb.ListGroupsResponse(
            schemas=[LIST_SCHEMA],
            total_results=total,
            start_index=page.offset + 1,
            items_per_page=len(found),
            resources=[_selected(build_group(item), request) for item in found],
        )

    async def GetGroup(self, request: pb.GetGroupRequest, context: _Context) -> Group:
        """Read a group."""
        found = build_group(await self._groups.get(current_principal.get(), request.id))
        return _selected(found, request)

    async def CreateGroup(self, request: pb.CreateGroupRequest, context: _Context) -> Group:
        """Create a group."""
        given = request.group
        members = _member_ids(given)
        return build_group(
            await self._groups.create(current_principal.get(), given.display_name, members)
        )

    async def ReplaceGroup(self, request: pb.ReplaceGroupRequest, context: _Context) -> Group:
        """Replace a group."""
        given = request.group
        members = _member_ids(given)

        def change(state: GroupState) -> GroupState:
            return replace(state, name=given.display_name or state.name, member_ids=members)

        return build_group(await self._groups.change(current_principal.get(), request.id, change))

    async def PatchGroup(self, request: pb.PatchGroupRequest, context: _Context) -> Group:
        """Change a group in part."""

        def change(state: GroupState) -> GroupState:
            return scim.patch_group(state, scim.parse_patch(request.patch))

        return build_group(await self._groups.change(current_principal.get(), request.id, change))

    async def DeleteGroup(
        self, request: pb.DeleteGroupRequest, context: _Context
    ) -> pb.DeleteGroupResponse:
        """Delete a group."""
        await self._groups.delete(current_principal.get(), request.id)
        return pb.DeleteGroupResponse()

    async def _change_service_principal(
        self, principal_id: str, change: Callable[[PrincipalState], PrincipalState]
    ) -> ServicePrincipal:
        caller = current_principal.get()
        return build_service_principal(
            await self._identities.change(caller, _SERVICE_PRINCIPAL, principal_id, change)
        )


def _page(request: _ListRequest, columns: dict[str, Attribute], ordered_by: str) -> Page:
    check_order(request.sort_by, request.sort_order, ordered_by)
    count = request.count if request.HasField("count") else None
    return scim.build_page(request.filter, request.start_index, count, columns)


def _selected(resource: M, request: _Selecting) -> M:
    return select(resource, request.attributes, request.excluded_attributes)


def _active(given: User | ServicePrincipal, *, default: bool) -> bool:
    return given.active if given.HasField("active") else default


def _replacement(
    field: str, name: str, display_name: str, given: User | ServicePrincipal
) -> Callable[[PrincipalState], PrincipalState]:
    def change(state: PrincipalState) -> PrincipalState:
        if name not in ("", state.name):
            raise InvalidParameter(f"{field} cannot be changed; it is '{state.name}'.")
        # One that was shut out is not let in by a form that does not speak of it.
        active = _active(given, default=state.active)
        return replace(state, display_name=display_name or state.name, active=active)

    return change


def _patch_of_principal(patch: Patch) -> Callable[[PrincipalState], PrincipalState]:
    # Read only once it is known that the caller may change what it names.
    def change(state: PrincipalState) -> PrincipalState:
        return scim.patch_principal(state, scim.parse_patch(patch))

    return change


def _member_ids(group: Group) -> frozenset[str]:
    if not all(member.value for member in group.members):
        raise InvalidParameter('members must be a list such as [{"value": "ID"}].')
    return frozenset(member.value for member in group.members)
