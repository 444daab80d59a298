"""Everyone and everything that `permission_table` speaks of, in a running system."""

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.permission_table import CREATOR, GRANTED, ROLES, Rank, Role, Way
from tests.e2e.principals import Principals
from tests.e2e.rest import ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import API_KEY, OpenAiEmulator

_NAMES = {"$chat": "matrix-chat", "$text": "matrix-text", "$vector": "matrix-vector"}
_LEVELS = {Rank.VIEW: "CAN_VIEW", Rank.QUERY: "CAN_QUERY", Rank.MANAGE: "CAN_MANAGE"}
_TASKS = {
    "$chat": ("gpt-4", "llm/v1/chat"),
    "$text": ("gpt-3.5-turbo-instruct", "llm/v1/completions"),
    "$vector": ("text-embedding-3-small", "llm/v1/embeddings"),
}


_SCIM = "/api/2.0/preview/scim/v2"
# Of each kind: where it is made, the attribute that names it, and the one that it is known by.
_IDENTITIES = {
    "user": ("Users", "userName", "id"),
    "robot": ("ServicePrincipals", "displayName", "id"),
    "application": ("ServicePrincipals", "displayName", "applicationId"),
    "group": ("Groups", "displayName", "id"),
}
# A name and an identifier that nothing has.
GHOST = "f" * 32


@dataclass(repr=False)
class World:
    """What the placeholders of the table stand for, and the token of each role."""

    system: System
    rest: Rest
    creator: Rest
    entity: Json
    tokens: Mapping[Role, str | None]
    grants: list[Json]
    chat_id: str = ""
    _shared: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def resolve(self, request: Json, *, ghost: bool = False) -> Json:
        """Return a request with each placeholder replaced; what must exist is made for it.

        Args:
            request: Request of the table.
            ghost: Replace what must exist by what does not.
        """
        resolved = self._resolve(request, ghost=ghost)
        assert isinstance(resolved, dict)
        return resolved

    def _resolve(self, value: object, *, ghost: bool) -> object:
        match value:
            case dict():
                return {key: self._resolve(item, ghost=ghost) for key, item in value.items()}
            case list():
                return [self._resolve(item, ghost=ghost) for item in value]
            case str() if value.startswith("$"):
                return self._ghost(value) if ghost else self._existing(value)
        return value

    def _ghost(self, placeholder: str) -> object:
        kept = placeholder in ("$new", "$entity", "$grants")
        return self._existing(placeholder) if kept else GHOST

    def _existing(self, placeholder: str) -> object:
        fixed: Mapping[str, object] = {
            **_NAMES,
            "$new": self._new_name(),
            "$chat_id": self.chat_id,
            "$entity": self.entity,
            "$grants": self.grants,
        }
        if placeholder in fixed:
            return fixed[placeholder]
        kind = placeholder.removeprefix("$")
        if kind.startswith("spare_"):
            return self._make(kind.removeprefix("spare_"))
        if kind not in self._shared:
            self._shared[kind] = self._make(kind)
        return self._shared[kind]

    def _new_name(self) -> str:
        return f"matrix-new-{next(self._numbers)}"

    def _make(self, kind: str) -> str:
        match kind:
            case "endpoint":
                made = self.creator.create({"name": self._new_name()})
                self.share(made)
                return str(made["name"])
            case "scope":
                return self._make_scope(self._new_name())
            case "token":
                made = self.rest.call("POST", "/api/2.0/token/create", {"comment": "matrix"})
                return str(made["token_info"]["token_id"])
        collection, name, identifier = _IDENTITIES[kind]
        made = self.rest.call("POST", f"{_SCIM}/{collection}", {name: self._new_name()})
        return str(made[identifier])

    def _make_scope(self, scope: str) -> str:
        self.rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": scope})
        secret = {"scope": scope, "key": "key", "string_value": "value"}
        self.rest.call("POST", "/api/2.0/secrets/put", secret)
        return scope

    def share(self, made: Json) -> None:
        """Give every role its level on an endpoint; when this returns, the workers know."""
        path = f"/api/2.0/permissions/serving-endpoints/{made['id']}"
        self.creator.call("PUT", path, {"access_control_list": self.grants})

    def make(self, provider: OpenAiEmulator) -> None:
        """Make the endpoints."""
        for placeholder, name in _NAMES.items():
            made = self.creator.create(endpoint(name, _entity(provider, *_TASKS[placeholder])))
            self.share(made)
            if placeholder == "$chat":
                self.chat_id = made["id"]

    def clean(self) -> None:
        """Remove what calls have made."""
        for made in self.rest.call("GET", ENDPOINTS)["endpoints"]:
            if made["name"].startswith("matrix-"):
                self.rest.call("DELETE", f"{ENDPOINTS}/{made['name']}")
        for scope in self.rest.call("GET", "/api/2.0/secrets/scopes/list")["scopes"]:
            if scope["name"].startswith("matrix-"):
                self.rest.call("POST", "/api/2.0/secrets/scopes/delete", {"scope": scope["name"]})
        self._clean_identities()

    def _clean_identities(self) -> None:
        for collection, name, _ in _IDENTITIES.values():
            for made in self.rest.call("GET", f"{_SCIM}/{collection}")["Resources"]:
                if made[name].startswith("matrix-new"):
                    self.rest.call("DELETE", f"{_SCIM}/{collection}/{made['id']}")
        for token in self.rest.call("GET", "/api/2.0/token/list")["token_infos"]:
            if token["comment"] == "matrix":
                self.rest.call("POST", "/api/2.0/token/delete", {"token_id": token["token_id"]})


@contextmanager
def populated(system: System, provider: OpenAiEmulator) -> Iterator[World]:
    """Yield the world; what is in it goes away with the block."""
    with Principals(system) as principals, Rest(system) as rest:
        tokens = {role: _enter(principals, role) for role in ROLES}
        creator_token = tokens[CREATOR]
        assert creator_token
        with Rest(system, creator_token) as creator:
            made = _entity(provider, *_TASKS["$chat"])
            world = World(system, rest, creator, made, tokens, _grants())
            try:
                world.make(provider)
                yield world
            finally:
                world.clean()


def _enter(principals: Principals, role: Role) -> str | None:
    """Make the principal of a role and return its token."""
    match role.way:
        case Way.NO_TOKEN:
            return None
        case Way.BAD_TOKEN:
            return "dapi0123456789abcdef0123456789abcdef"
    groups = ["admins"] if role.rank is Rank.ADMIN else []
    if role.way is Way.GROUP and not groups:
        groups = [role.name]
    if role.way is Way.ROBOT:
        return principals.add_robot(role.name, groups)
    member = f"{role.name}-member" if role.way is Way.GROUP else role.name
    return principals.add_user(member, groups)


def _grants() -> list[Json]:
    """Return what every role is granted, as the permissions API has it."""
    names = {
        Way.USER: "user_name",
        Way.GROUP: "group_name",
        Way.ROBOT: "service_principal_name",
    }
    return [
        {names[role.way]: role.name, "permission_level": _LEVELS[role.rank]}
        for role in ROLES
        if role.way in names and role.rank in GRANTED
    ]


def _entity(provider: OpenAiEmulator, model: str, task: str) -> Json:
    """Return a served entity whose credential is its own: no role can read every secret."""
    made = entity(provider, "chat", model, task)
    config = made["external_model"]["openai_config"]
    del config["openai_api_key"]
    config["openai_api_key_plaintext"] = API_KEY
    return made
