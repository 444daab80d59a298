"""What each kind of things says of itself, and what applying a file knows of the deployment.

Before: `registry` and the modules that it names; `plan`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from modelplane.deploy.command.api.client import ApiClient, Json
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.declared.differences import Difference
from modelplane.deploy.command.nouns.endpoint_arguments import list_endpoints
from modelplane.deploy.command.nouns.scim import (
    GROUPS,
    PATH,
    SERVICE_PRINCIPALS,
    USERS,
    list_all,
)

CREATE, CHANGE, DELETE, KEEP = "create", "change", "delete", "keep"


@dataclass(frozen=True, slots=True)
class Item:
    """Something that a file declares.

    Attributes:
        file: The file.
        section: Name of the kind, as files have it.
        name: Name of the thing, unique in its kind.
        body: What is declared.
    """

    file: Path
    section: str
    name: str
    body: Json

    @property
    def place(self) -> str:
        """Where it is declared, for people."""
        return f"{self.file}: {self.section} '{self.name}'"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with one thing.

    Attributes:
        action: `create`, `change`, `delete` or `keep`.
        word: What a thing of its kind is called.
        name: Its name.
        run: Does it.
        differences: What is not as declared.
    """

    action: str
    word: str
    name: str
    run: Callable[[], None]
    differences: Sequence[Difference] = ()

    def document(self) -> Json:
        """Return it for programs."""
        return {
            "action": self.action,
            "kind": self.word,
            "name": self.name,
            "differences": [
                {"path": one.path, "old": one.old, "new": one.new} for one in self.differences
            ],
        }


@dataclass
class World:
    """The deployment, read at most once, and all that the files declare.

    Attributes:
        session: The command.
        items: What the files declare.
        is_dry: Whether it is only shown what would be done: no value of a secret is read then.
    """

    session: Session
    items: Sequence[Item] = field(default=())
    is_dry: bool = True

    @property
    def client(self) -> ApiClient:
        """The deployment's API."""
        return self.session.client

    @cached_property
    def users(self) -> list[Json]:
        """All users."""
        return list(list_all(self.client, USERS))

    @cached_property
    def groups(self) -> list[Json]:
        """All groups."""
        return list(list_all(self.client, GROUPS))

    @cached_property
    def endpoints(self) -> Mapping[str, Json]:
        """All endpoints by name, as the list shows them."""
        return {one["name"]: one for one in list_endpoints(self.session)}

    @cached_property
    def principals(self) -> Mapping[str, str]:
        """Names of users, service principals and groups by their identifiers."""
        programs = list_all(self.client, SERVICE_PRINCIPALS)
        return {
            **{one["id"]: one["userName"] for one in self.users},
            **{one["id"]: one["applicationId"] for one in programs},
            **{one["id"]: one["displayName"] for one in self.groups},
        }

    @cached_property
    def me(self) -> Json:
        """Who applies."""
        return self.client.call("GET", f"{PATH}/Me")

    @property
    def my_name(self) -> str:
        """The name of who applies."""
        return str(self.me.get("userName") or self.me.get("applicationId") or "")

    def declares(self, section: str, name: str) -> bool:
        """Tell whether the files declare something."""
        return any((one.section, one.name) == (section, name) for one in self.items)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of things that files declare.

    Attributes:
        word: What one is called.
        name_field: The member that names it.
        fields: Members that it may have.
        check: Checks a declaration by itself, and raises WrongUsage.
        plan: Returns what is to be done for a declaration.
        export: Yields the declarations of all that is there.
        order: Returns declarations in the order in which they are applied.
        is_one: Whether all of them are one thing, which a file declares as a whole.
    """

    word: str
    name_field: str
    fields: Collection[str]
    check: Callable[[Item], None]
    plan: Callable[[World, Item], Step]
    export: Callable[[World], Iterator[Json]]
    order: Callable[[Sequence[Item]], Sequence[Item]] = list
    is_one: bool = False


def nothing() -> None:
    """Do nothing."""
