"""Users in files.

Before: `registry`.
"""

from collections.abc import Iterator

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.declared.differences import compare
from modelplane.deploy.command.declared.kinds.base import (
    CHANGE,
    CREATE,
    KEEP,
    Item,
    Kind,
    Step,
    World,
    nothing,
)
from modelplane.deploy.command.nouns.scim import PATH, USERS, patch

_WORD = "user"


def _check(_item: Item) -> None:
    """Accept it: the API checks the values."""


def _plan(world: World, item: Item) -> Step:
    found = next((one for one in world.users if one["userName"] == item.name), None)
    if found is None:

        def create() -> None:
            world.client.call("POST", f"{PATH}/{USERS.path}", item.body)

        return Step(CREATE, _WORD, item.name, create)
    shown = _shown(found)
    differences = list(compare("", {name: shown.get(name) for name in item.body}, item.body))

    def change() -> None:
        for one in differences:
            operation = {"op": "replace", "path": one.path, "value": one.new}
            patch(world.client, USERS, found["id"], operation)

    if not differences:
        return Step(KEEP, _WORD, item.name, nothing)
    return Step(CHANGE, _WORD, item.name, change, differences)


def _shown(user: Json) -> Json:
    shown = {"userName": user["userName"], "displayName": user.get("displayName", "")}
    return shown | {"active": user.get("active", True)}


def _export(world: World) -> Iterator[Json]:
    for user in world.users:
        shown = _shown(user)
        if shown["active"]:
            del shown["active"]
        yield shown


KIND = Kind(_WORD, "userName", ("userName", "displayName", "active"), _check, _plan, _export)
