"""Scopes of secrets in files: which secrets there are, where their values come from, who may read.

Before: `registry`. A value is read when a secret is missing, or when all are to be put again; it
cannot be compared, since the API returns none.
"""

import re
from collections.abc import Iterator
from typing import Any

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.documents import read_text
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
from modelplane.deploy.command.nouns.secrets import PATH

_WORD = "secret scope"
_SOURCES = ("from_env", "from_file")
# Kept by the deployment itself; those of other stores are declared in its settings.
_OWN = "DATABRICKS"
_MANAGE = "MANAGE"


def _check(item: Item) -> None:
    for section, needed in (("secrets", "key"), ("acls", "principal")):
        entries = item.body.get(section, [])
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and isinstance(entry.get(needed), str) for entry in entries
        ):
            raise WrongUsage(f"{item.place}: {section} is no list of objects with {needed}")
    for secret in item.body.get("secrets", []):
        if len([name for name in _SOURCES if secret.get(name)]) != 1 or set(secret) - {
            "key",
            *_SOURCES,
        }:
            raise WrongUsage(
                f"{item.place}: secret {secret['key']} needs one of {' or '.join(_SOURCES)}, and "
                "nothing else"
            )
    for acl in item.body.get("acls", []):
        if set(acl) != {"principal", "permission"}:
            raise WrongUsage(f"{item.place}: an acl has principal and permission, no more or less")


def _plan(world: World, item: Item) -> Step:
    scopes = world.client.call("GET", f"{PATH}/scopes/list")["scopes"]
    is_there = any(one["name"] == item.name for one in scopes)
    keys = set(_keys(world, item.name)) if is_there else set()
    again = bool(world.session.given.put_secrets)
    secrets = [one for one in item.body.get("secrets", []) if again or one["key"] not in keys]
    values = {} if world.is_dry else {one["key"]: _value(world, item, one) for one in secrets}
    grants, revoked = _acl_changes(world, item, is_there=is_there)

    def run() -> None:
        if not is_there:
            world.client.call("POST", f"{PATH}/scopes/create", {"scope": item.name})
        for key, value in values.items():
            body = {"scope": item.name, "key": key, "string_value": value}
            world.client.call("POST", f"{PATH}/put", body)
        for acl in grants:
            world.client.call("POST", f"{PATH}/acls/put", {"scope": item.name, **acl})
        for acl in revoked:
            body = {"scope": item.name, "principal": acl["principal"]}
            world.client.call("POST", f"{PATH}/acls/delete", body)

    differences = [
        *(Difference(f"secrets[{one['key']}]", None, _source(one)) for one in secrets),
        *(_of_acl(acl, None, acl["permission"]) for acl in grants),
        *(_of_acl(acl, acl["permission"], None) for acl in revoked),
    ]
    if not is_there:
        return Step(CREATE, _WORD, item.name, run, differences)
    if not differences:
        return Step(KEEP, _WORD, item.name, nothing)
    return Step(CHANGE, _WORD, item.name, run, differences)


def _of_acl(acl: Json, old: str | None, new: str | None) -> Difference:
    return Difference(f"acls[{acl['principal']}]", old, new)


def _source(secret: Json) -> str:
    return next(f"{name} {secret[name]}" for name in _SOURCES if secret.get(name))


def _value(world: World, item: Item, secret: Json) -> str:
    if name := secret.get("from_env"):
        if not (value := world.session.environ.get(name, "")):
            raise WrongUsage(
                f"{item.place}: secret {secret['key']} comes from the variable {name}, which is "
                "not set"
            )
        return value
    return read_text(item.file.parent / secret["from_file"])


def _acl_changes(world: World, item: Item, *, is_there: bool) -> tuple[list[Json], list[Json]]:
    """Return grants to make, and those to take away; whoever applies goes on managing the scope."""
    if "acls" not in item.body:
        return [], []
    there = _acls(world, item.name) if is_there else []
    wanted = item.body["acls"]
    names = {acl["principal"] for acl in wanted}
    revoked = [
        acl
        for acl in there
        if acl["principal"] not in names
        and (acl["principal"], acl["permission"]) != (world.my_name, _MANAGE)
    ]
    return [acl for acl in wanted if acl not in there], revoked


def _acls(world: World, scope: str) -> list[Json]:
    items = world.client.call("GET", f"{PATH}/acls/list", query={"scope": scope})["items"]
    return [{"principal": one["principal"], "permission": one["permission"]} for one in items]


def _keys(world: World, scope: str) -> list[str]:
    answer = world.client.call("GET", f"{PATH}/list", query={"scope": scope})
    return [str(one["key"]) for one in answer["secrets"]]


def _export(world: World) -> Iterator[Json]:
    for scope in world.client.call("GET", f"{PATH}/scopes/list")["scopes"]:
        if scope.get("backend_type") != _OWN:
            continue
        name = scope["name"]
        secrets: list[dict[str, Any]] = [
            {"key": key, "from_env": _variable(name, key)} for key in _keys(world, name)
        ]
        yield {"scope": name, "secrets": secrets, "acls": _acls(world, name)}


def _variable(scope: str, key: str) -> str:
    """Return the variable that whoever applies an export puts the value into."""
    return re.sub(r"[^A-Z0-9]", "_", f"{scope}_{key}".upper())


KIND = Kind(_WORD, "scope", ("scope", "secrets", "acls"), _check, _plan, _export)
