"""Users, groups and service principals for tests, each with an access token."""

from collections.abc import Sequence
from typing import Self

from tests.e2e.rest import Json, Rest
from tests.e2e.system import System

_SCIM = "/api/2.0/preview/scim/v2"


class Principals:
    """Makes principals, as an administrator does; all are gone when the block ends."""

    def __init__(self, system: System) -> None:
        self._rest = Rest(system)
        self._groups = {"admins": "1"}
        self._paths: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._rest:
            for path in self._paths:
                self._rest.call("DELETE", path)

    def add_user(self, name: str, groups: Sequence[str] = ()) -> str:
        """Make a user and return a token of it; groups that are not there are made."""
        made = self._make("Users", {"userName": name})
        return self._enter(made["id"], name, groups)

    def add_robot(self, application_id: str, groups: Sequence[str] = ()) -> str:
        """Make a service principal and return a token of it."""
        made = self._make("ServicePrincipals", {"applicationId": application_id})
        return self._enter(made["id"], application_id, groups)

    def leave(self, group: str) -> None:
        """Take all members out of a group."""
        self._patch(group, {"op": "remove", "path": "members"})

    def _make(self, collection: str, body: Json) -> Json:
        made = self._rest.call("POST", f"{_SCIM}/{collection}", body)
        self._paths.append(f"{_SCIM}/{collection}/{made['id']}")
        return made

    def _enter(self, principal_id: str, name: str, groups: Sequence[str]) -> str:
        for group in groups:
            if group not in self._groups:
                self._groups[group] = self._make("Groups", {"displayName": group})["id"]
            self._patch(group, {"op": "add", "path": "members", "value": [{"value": principal_id}]})
        path = "/api/2.0/token-management/on-behalf-of/tokens"
        return str(self._rest.call("POST", path, {"application_id": name})["token_value"])

    def _patch(self, group: str, operation: Json) -> None:
        path = f"{_SCIM}/Groups/{self._groups[group]}"
        self._rest.call("PATCH", path, {"Operations": [operation]})
