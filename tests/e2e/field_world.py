"""A system with something of everything that can be read, and a client that notes what it is told.

Used by `test_every_field`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity, split
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator
from tests.protos.bodies import METHODS, rule_of

SCIM = "/api/2.0/preview/scim/v2"
SECRETS = "/api/2.0/secrets"
ROBOT = "0f1e1d5e-0000-4000-8000-000000000000"


class World(Rest):
    """A client of the system, which remembers each field that an answer had."""

    def __init__(self, system: System, token: str | None = None) -> None:
        """Call `system` as its administrator, or with a token."""
        super().__init__(system, token)
        # Names of fields, as `Message.field`, that had a value.
        self.seen: set[str] = set()
        # Identifiers of what there is, by what it is.
        self.ids: dict[str, str] = {}

    def call(self, method: str, path: str, body: object = None) -> Json:
        """Send a request that must succeed, note its answer, and return it."""
        answer = super().call(method, path, body)
        for rpc in METHODS:
            if _leads_to(rpc, method, path.partition("?")[0]):
                self._note(rpc.output_type, answer)
        return answer

    def _note(self, message: Any, value: Json) -> None:
        for field in message.fields:
            item = value.get(field.name, value.get(field.json_name))
            if not item:
                continue
            self.seen.add(f"{message.name}.{field.name}")
            if field.message_type and field.message_type.file.package == "modelserving.v1":
                for each in item if field.is_repeated else [item]:
                    self._note(field.message_type, each)


def _leads_to(rpc: MethodDescriptor, method: str, path: str) -> bool:
    verb, route, _ = rule_of(rpc)
    pattern = re.sub(r"\\{\w+\\}", "[^/:]+", re.escape(route))
    return verb == method and re.fullmatch(pattern, path) is not None


@contextmanager
def made(system: System, provider: OpenAiEmulator) -> Iterator[World]:
    """Yield the system with everything in it; all of it goes with the block."""
    with World(system) as world:
        undo: list[Callable[[], object]] = []
        try:
            _make_identities(world, undo)
            _make_secrets(world, undo)
            _make_endpoints(world, provider, undo)
            _set_prices(world, undo)
            _query(world, system)
            yield world
        finally:
            for step in reversed(undo):
                step()


def _make(world: World, undo: list[Callable[[], object]], kind: str, path: str, body: Json) -> Json:
    made = world.call("POST", path, body)
    world.ids[kind] = str(made["id"])
    undo.append(lambda: world.call("DELETE", f"{path}/{made['id']}"))
    return made


def _make_identities(world: World, undo: list[Callable[[], object]]) -> None:
    for name in ("ann@fields.test", "bob@fields.test"):
        _make(world, undo, name[:3], f"{SCIM}/Users", {"userName": name, "displayName": name[:3]})
    robot = {"applicationId": ROBOT, "displayName": "robot"}
    _make(world, undo, "robot", f"{SCIM}/ServicePrincipals", robot)
    other = {"displayName": "other"}
    _make(world, undo, "other robot", f"{SCIM}/ServicePrincipals", other)
    members = [{"value": world.ids["ann"]}, {"value": world.ids["robot"]}]
    _make(world, undo, "team", f"{SCIM}/Groups", {"displayName": "team", "members": members})
    world.call("POST", "/api/2.0/token/create", {"comment": "fields", "lifetime_seconds": 3600})
    for name in ("ann@fields.test", ROBOT):
        path = "/api/2.0/token-management/on-behalf-of/tokens"
        token = world.call("POST", path, {"application_id": name, "comment": "for another"})
        world.ids[f"token of {name[:3]}"] = str(token["token_value"])
        world.ids["token"] = str(token["token_info"]["token_id"])
    path = f"/api/2.0/accounts/servicePrincipals/{world.ids['robot']}/credentials/secrets"
    world.ids["client secret"] = world.call("POST", path, {"lifetime": "3600s"})["id"]


def _make_secrets(world: World, undo: list[Callable[[], object]]) -> None:
    for scope in ("fields", "other-fields"):
        world.call("POST", f"{SECRETS}/scopes/create", {"scope": scope})
        delete = {"scope": scope}
        undo.append(lambda delete=delete: world.call("POST", f"{SECRETS}/scopes/delete", delete))  # type: ignore[misc]
    for key in ("one", "two"):
        secret = {"scope": "fields", "key": key, "string_value": key}
        world.call("POST", f"{SECRETS}/put", secret)
    acl = {"scope": "fields", "principal": "team", "permission": "READ"}
    world.call("POST", f"{SECRETS}/acls/put", acl)


GATEWAY: Json = {
    "usage_tracking_config": {"enabled": True},
    "rate_limits": [
        {"calls": 1000, "tokens": 10**6, "renewal_period": "minute"},
        {"calls": 900, "key": "user", "principal": "ann@fields.test", "renewal_period": "minute"},
    ],
    "fallback_config": {"enabled": True},
    "retry_config": {"max_retries": 1},
    "timeout_config": {"first_byte_seconds": 30, "idle_seconds": 30},
}


def _make_endpoints(
    world: World, provider: OpenAiEmulator, undo: list[Callable[[], object]]
) -> None:
    entities = (entity(provider, "a"), entity(provider, "b"))
    body = endpoint("first", *entities, description="of all fields", ai_gateway=GATEWAY)
    body["tags"] = [{"key": "team", "value": "fields"}]
    body["rate_limits"] = [{"calls": 500, "key": "user", "renewal_period": "minute"}]
    world.ids["endpoint"] = world.call("POST", ENDPOINTS, body)["id"]
    undo.append(lambda: world.call("DELETE", f"{ENDPOINTS}/first"))
    second = endpoint("second", entity(provider, "c"), ai_gateway=GATEWAY)
    world.call("POST", ENDPOINTS, second)
    undo.append(lambda: world.call("DELETE", f"{ENDPOINTS}/second"))
    policies = {"policies": [{"name": "words", "keywords": {"words": ["x"]}}]}
    world.call("PUT", f"{ENDPOINTS}/first/policies", policies)
    world.call("PUT", f"{ENDPOINTS}/first/config", {"traffic_config": split(a=50, b=50)})
    grants = [
        {"user_name": "ann@fields.test", "permission_level": "CAN_MANAGE"},
        {"service_principal_name": ROBOT, "permission_level": "CAN_VIEW"},
        {"group_name": "team", "permission_level": "CAN_QUERY"},
    ]
    path = f"/api/2.0/permissions/serving-endpoints/{world.ids['endpoint']}"
    world.call("PUT", path, {"access_control_list": grants})


def _set_prices(world: World, undo: list[Callable[[], object]]) -> None:
    price: Json = {
        "provider": "openai",
        "model": "gpt-4o-mini",
        "input_per_million": "0.15",
        "cached_input_per_million": "0.075",
        "output_per_million": "0.60",
        "currency": "USD",
        "from_time": 3_600_000,
    }
    undo.append(lambda: world.call("PUT", "/api/2.0/prices", {"prices": []}))
    world.call("PUT", "/api/2.0/prices", {"prices": [price]})


def _query(world: World, system: System) -> None:
    """Leave usage of two callers, of both endpoints and of all entities."""
    with Rest(system, world.ids["token of ann"]) as ann:
        for caller, path in (
            (world, "first/served-models/a"),
            (world, "first/served-models/b"),
            (world, "second/served-models/c"),
            (ann, "first/served-models/b"),
        ):
            answer = caller.send("POST", f"/serving-endpoints/{path}/invocations", CHAT)
            assert answer.status_code == 200, answer.text
    wait_for(lambda: _rows(world, "first") == 3 and _rows(world, "second") == 1)


def _rows(world: World, name: str) -> int:
    rows = world.call("GET", f"/api/2.0/usage?endpoint={name}")["usage"]
    return sum(1 for row in rows if row["state"] == "ENDED")
