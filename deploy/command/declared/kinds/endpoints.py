"""Serving endpoints in files: the body that creates one, and who may use it.

Before: `registry`. After: `endpoint_forms`, which brings both sides into one form.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import WrongUsage
from modelplane.deploy.command.api.rollouts import ENDPOINTS as PATH
from modelplane.deploy.command.api.rollouts import await_rollout, endpoint_path
from modelplane.deploy.command.declared.differences import Difference, compare
from modelplane.deploy.command.declared.kinds import endpoint_forms as forms
from modelplane.deploy.command.declared.kinds import policy_forms
from modelplane.deploy.command.declared.kinds.base import (
    CHANGE,
    CREATE,
    DELETE,
    KEEP,
    Item,
    Kind,
    Step,
    World,
    nothing,
)
from modelplane.deploy.command.declared.kinds.policy_forms import POLICIES
from modelplane.deploy.command.nouns.permissions import direct_grants, permissions_path

_WORD = "endpoint"
ACL = "access_control_list"
_FIELDS = ("name", "description", "tags", "config", "ai_gateway", "rate_limits", POLICIES, ACL)
_OBJECTS: Mapping[str, type] = {
    "tags": list,
    "config": dict,
    "ai_gateway": dict,
    POLICIES: list,
    ACL: list,
}


def _check(item: Item) -> None:
    for name, form in _OBJECTS.items():
        if not isinstance(item.body.get(name, form()), form):
            word = "list" if form is list else "object"
            raise WrongUsage(f"{item.place}: {name} is no {word}")
    if not all(isinstance(one, dict) and one.get("name") for one in item.body.get(POLICIES, [])):
        raise WrongUsage(f"{item.place}: {POLICIES} holds something else than objects with a name")


def order(items: Sequence[Item]) -> Sequence[Item]:
    """Return endpoints so that those which judge come before those for which they do."""
    by_name = {item.name: item for item in items}
    judged = {item.name: policy_forms.judges_of(item.body) & by_name.keys() for item in items}
    try:
        return [by_name[name] for name in TopologicalSorter(judged).static_order()]
    except CycleError:
        # The API refuses it, and says why.
        return items


def _plan(world: World, item: Item) -> Step:
    if item.name not in world.endpoints:
        return Step(CREATE, _WORD, item.name, lambda: _create(world, item))
    found = world.client.call("GET", endpoint_path(item.name))
    there, wanted = _there(world, found, item), forms.wanted(item.body)
    changes: dict[str, list[Difference]] = {}
    for part in wanted:
        if differences := list(compare(part, there.get(part), wanted[part])):
            changes[part] = differences
    if "description" in changes:
        raise WrongUsage(
            f"{item.place}: the description of an endpoint cannot be changed; it is "
            f"'{found.get('description', '')}'"
        )

    def change() -> None:
        for part in _ordered(changes, item):
            _CHANGES[part](world, item, found)

    if not changes:
        return Step(KEEP, _WORD, item.name, nothing)
    every = [one for differences in changes.values() for one in differences]
    return Step(CHANGE, _WORD, item.name, change, every)


def _there(world: World, endpoint: Json, item: Item) -> Json:
    """Return what is there, in the form of what is wanted."""
    limits = world.client.call("GET", endpoint_path(item.name, "rate-limits"))
    there = forms.there(endpoint, limits.get("rate_limits", []), item.body)
    if POLICIES in item.body:
        there[POLICIES] = policy_forms.policies(_policies(world, item.name))
    if ACL in item.body:
        there[ACL] = forms.grants(_grants(world, endpoint, item.body[ACL]))
    return there


def _grants(world: World, endpoint: Json, wanted: list[Json]) -> list[Json]:
    """Return who may use an endpoint; its creator, who always may, only where that is wanted."""
    document = world.client.call("GET", permissions_path(world.client, endpoint["name"]))
    creator = {"user_name": endpoint.get("creator"), "permission_level": "CAN_MANAGE"}
    program = {"service_principal_name": endpoint.get("creator"), "permission_level": "CAN_MANAGE"}
    found = list(direct_grants(document))
    return [one for one in found if one in wanted or one not in (creator, program)]


def _ordered(parts: Iterable[str], item: Item) -> list[str]:
    """Return what changes in an order in which a redacted table is never without what it needs."""
    first = POLICIES if policy_forms.guard_requests(item.body.get(POLICIES, [])) else ""
    last = "" if first else POLICIES
    return sorted(parts, key=lambda part: (part == last) - (part == first))


def _policies(world: World, name: str) -> list[Json]:
    found: list[Json] = world.client.call("GET", endpoint_path(name, POLICIES))[POLICIES]
    return found


def _create(world: World, item: Item) -> None:
    # What is guarded by policies serves nothing before it has them.
    later = ("ai_gateway", "config") if item.body.get(POLICIES) else ()
    now = {name: one for name, one in item.body.items() if name not in (POLICIES, ACL, *later)}
    endpoint = world.client.call("POST", PATH, now)
    if later:
        for part in (POLICIES, *(part for part in later if part in item.body)):
            _CHANGES[part](world, item, endpoint)
    else:
        _await(world, endpoint)
    if ACL in item.body:
        _put_grants(world, item, endpoint)


def _put_policies(world: World, item: Item, _found: Json) -> None:
    path = endpoint_path(item.name, POLICIES)
    world.client.call("PUT", path, {POLICIES: item.body[POLICIES]})


def _put_config(world: World, item: Item, _found: Json) -> None:
    path = endpoint_path(item.name, "config")
    _await(world, world.client.call("PUT", path, item.body["config"]))


def _await(world: World, endpoint: Json) -> None:
    given = world.session.given
    if given.wait:
        await_rollout(world.session, endpoint, given.timeout)


def _put_ai_gateway(world: World, item: Item, _found: Json) -> None:
    path = endpoint_path(item.name, "ai-gateway")
    world.client.call("PUT", path, item.body.get("ai_gateway", {}))


def _put_rate_limits(world: World, item: Item, _found: Json) -> None:
    path = endpoint_path(item.name, "rate-limits")
    world.client.call("PUT", path, {"rate_limits": item.body.get("rate_limits", [])})


def _patch_tags(world: World, item: Item, found: Json) -> None:
    wanted = item.body.get("tags", [])
    keys = {tag["key"] for tag in wanted}
    gone = [tag["key"] for tag in found.get("tags", []) if tag["key"] not in keys]
    body = {"add_tags": wanted, "delete_tags": gone}
    world.client.call("PATCH", endpoint_path(item.name, "tags"), body)


def _put_grants(world: World, item: Item, _found: Json) -> None:
    path = permissions_path(world.client, item.name)
    world.client.call("PUT", path, {ACL: item.body[ACL]})


_CHANGES: Mapping[str, Callable[[World, Item, Json], None]] = {
    "tags": _patch_tags,
    "ai_gateway": _put_ai_gateway,
    "rate_limits": _put_rate_limits,
    POLICIES: _put_policies,
    "config": _put_config,
    ACL: _put_grants,
}


def prune_steps(world: World, label: str) -> Iterator[Step]:
    """Yield the deletion of each endpoint that has a tag and is not declared.

    Args:
        world: The deployment, and what is declared.
        label: The tag, as KEY=VALUE.

    Raises:
        WrongUsage: It is no tag, or a declared endpoint does not have it.
    """
    key, separator, value = label.partition("=")
    if not (key and separator):
        raise WrongUsage(f"--prune {label} is not of the form KEY=VALUE")
    tag = {"key": key, "value": value}
    for item in world.items:
        if item.section == "endpoints" and tag not in item.body.get("tags", []):
            raise WrongUsage(f"{item.place}: it does not have the tag {label} of --prune; add it")
    for name, endpoint in world.endpoints.items():
        if tag in endpoint.get("tags", []) and not world.declares("endpoints", name):
            yield Step(DELETE, _WORD, name, _deletion(world, name))


def _deletion(world: World, name: str) -> Callable[[], None]:
    def delete() -> None:
        world.client.call("DELETE", endpoint_path(name))

    return delete


def _export(world: World) -> Iterator[Json]:
    for name in world.endpoints:
        endpoint = world.client.call("GET", endpoint_path(name))
        # The operator's catalogue makes those without: foundation models.
        if "id" not in endpoint:
            continue
        limits = world.client.call("GET", endpoint_path(name, "rate-limits"))
        document = world.client.call("GET", permissions_path(world.client, name))
        body = forms.exported(endpoint, limits.get("rate_limits", []))
        if policies := _policies(world, name):
            body[POLICIES] = policies
        yield body | {ACL: list(direct_grants(document))}


KIND = Kind(_WORD, "name", _FIELDS, _check, _plan, _export, order)
