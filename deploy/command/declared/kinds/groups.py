"""Groups in files: their members stand there by name.

Before: `registry`.
"""

from collections.abc import Iterator

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import WrongUsage
from modelplane.deploy.command.declared.differences import Difference
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
from modelplane.deploy.command.nouns.scim import GROUPS, PATH, find_any, patch

_WORD = "group"
# Everyone is in it, whatever is said.
_EVERYONE = "users"


def _check(item: Item) -> None:
    members = item.body.get("members", [])
    if not isinstance(members, list) or not all(isinstance(one, str) for one in members):
        raise WrongUsage(f"{item.place}: members is no list of names")


def _plan(world: World, item: Item) -> Step:
    wanted = item.body.get("members")
    _check_members(world, item, wanted or [])
    found = next((one for one in world.groups if one["displayName"] == item.name), None)
    if found is None:

        def create() -> None:
            members = _values(world, wanted or [])
            body = {"displayName": item.name, "members": members}
            world.client.call("POST", f"{PATH}/{GROUPS.path}", body)

        return Step(CREATE, _WORD, item.name, create)
    there = _members(world, found)
    if wanted is None or set(wanted) == set(there):
        return Step(KEEP, _WORD, item.name, nothing)
    added = [name for name in wanted if name not in there]
    removed = [name for name in there if name not in wanted]

    def change() -> None:
        if added:
            operation = {"op": "add", "path": "members", "value": _values(world, added)}
            patch(world.client, GROUPS, found["id"], operation)
        for value in _values(world, removed):
            operation = {"op": "remove", "path": f'members[value eq "{value["value"]}"]'}
            patch(world.client, GROUPS, found["id"], operation)

    differences = [
        *(Difference("members", None, name) for name in added),
        *(Difference("members", name, None) for name in removed),
    ]
    return Step(CHANGE, _WORD, item.name, change, differences)


def _check_members(world: World, item: Item, names: list[str]) -> None:
    known = set(world.principals.values()) if names else set()
    for name in names:
        declared = world.declares("users", name) or world.declares("groups", name)
        if name not in known and not declared:
            raise WrongUsage(
                f"{item.place}: there is no user, service principal or group '{name}', here or "
                "in the files"
            )


def _values(world: World, names: list[str]) -> list[Json]:
    return [{"value": find_any(world.client, name)["id"]} for name in names]


def _members(world: World, group: Json) -> list[str]:
    ids = [one["value"] for one in group.get("members", [])]
    return [world.principals[one] for one in ids if one in world.principals]


def _export(world: World) -> Iterator[Json]:
    for group in world.groups:
        if group["displayName"] != _EVERYONE:
            yield {"displayName": group["displayName"], "members": _members(world, group)}


KIND = Kind(_WORD, "displayName", ("displayName", "members"), _check, _plan, _export)
