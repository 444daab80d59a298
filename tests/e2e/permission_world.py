"""Everyone and everything that `permission_table` speaks of, in a running system."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.permission_table import CREATOR, GRANTED, ROLES, Rank, Role, Way
from tests.e2e.principals import Principals
from tests.e2e.rest import ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import API_KEY, OpenAiEmulator

_NAMES = {"$chat": "matrix-chat", "$text": "matrix-text", "$vector": "matrix-vector"}
_LEVELS = {Rank.VIEW: "CAN_VIEW", Rank.QUERY: "CAN_QUERY", Rank.MANAGE: "CAN_MANAGE"}
_PERMISSIONS = {Rank.VIEW: "READ", Rank.QUERY: "WRITE", Rank.MANAGE: "MANAGE"}
_NAMED_BY = {
    Way.USER: "user_name",
    Way.GROUP: "group_name",
    Way.ROBOT: "service_principal_name",
}
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
    chat_id: str = ""
    _shared: dict[str, str] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def resolve(self, request: Json, role: Role) -> Json:
        """Return a request with each placeholder replaced; what must exist is made for `role`."""
        return _replace(request, lambda placeholder: self.find(placeholder, role))

    def resolve_to_none(self, request: Json) -> Json:
        """Return the request with names of what does not exist in the place of what does."""
        kept = ("$new", "$entity", "$grants")
        return _replace(request, lambda name: self.find(name, CREATOR) if name in kept else GHOST)

    def find(self, placeholder: str, role: Role) -> object:
        """Return what a placeholder stands for in a call by `role`."""
        fixed: Mapping[str, object] = {
            **_NAMES,
            "$new": self._new_name(),
            "$chat_id": self.chat_id,
            "$entity": self.entity,
            "$grants": _grants(ROLES),
        }
        if placeholder in fixed:
            return fixed[placeholder]
        if placeholder == "$made":
            return self._made_by(role)
        kind = placeholder.removeprefix("$")
        if kind.startswith("spare_"):
            return self._make(kind.removeprefix("spare_"), [role])
        if kind not in self._shared:
            self._shared[kind] = self._make(kind, ROLES)
        return self._shared[kind]

    def _made_by(self, role: Role) -> str:
        """Return the name of a new endpoint of a role; of one that is not known there is none."""
        name = self._new_name()
        if role.known:
            with Rest(self.system, self.tokens[role]) as own:
                own.create({"name": name})
        return name

    def _new_name(self) -> str:
        return f"matrix-new-{next(self._numbers)}"

    def _make(self, kind: str, roles: Iterable[Role]) -> str:
        match kind:
            case "endpoint":
                made = self.creator.create({"name": self._new_name()})
                self.share(made, roles)
                return str(made["name"])
            case "scope":
                return self._make_scope(self._new_name(), roles)
            case "token":
                made = self.rest.call("POST", "/api/2.0/token/create", {"comment": "matrix"})
                return str(made["token_info"]["token_id"])
        collection, name, identifier = _IDENTITIES[kind]
        made = self.rest.call("POST", f"{_SCIM}/{collection}", {name: self._new_name()})
        return str(made[identifier])

    def _make_scope(self, scope: str, roles: Iterable[Role]) -> str:
        self.creator.call("POST", "/api/2.0/secrets/scopes/create", {"scope": scope})
        secret = {"scope": scope, "key": "key", "string_value": "value"}
        self.creator.call("POST", "/api/2.0/secrets/put", secret)
        for role in _granted(roles):
            acl = {"principal": role.name, "permission": _PERMISSIONS[role.rank]}
            self.creator.call("POST", "/api/2.0/secrets/acls/put", {"scope": scope, **acl})
        return scope

    def share(self, made: Json, roles: Iterable[Role]) -> None:
        """Give roles their levels on an endpoint; when this returns, the workers know."""
        path = f"/api/2.0/permissions/serving-endpoints/{made['id']}"
        self.creator.call("PUT", path, {"access_control_list": _grants(roles)})

    def make(self, provider: OpenAiEmulator) -> None:
        """Make the endpoints."""
        for placeholder, name in _NAMES.items():
            made = self.creator.create(endpoint(name, _entity(provider, *_TASKS[placeholder])))
            self.share(made, ROLES)
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
            world = World(system, rest, creator, made, tokens)
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


def _granted(roles: Iterable[Role]) -> list[Role]:
    """Return those whose rank is granted to them."""
    return [role for role in roles if role.way in _NAMED_BY and role.rank in GRANTED]


def _grants(roles: Iterable[Role]) -> list[Json]:
    """Return what roles are granted, as the permissions API has it."""
    return [
        {_NAMED_BY[role.way]: role.name, "permission_level": _LEVELS[role.rank]}
        for role in _granted(roles)
    ]


def _replace(request: Json, find: Callable[[str], object]) -> Json:
    """Return a request with each placeholder replaced by what `find` returns for it."""

    def replaced(value: object) -> object:
        match value:
            case dict():
                return {key: replaced(item) for key, item in value.items()}
            case list():
                return [replaced(item) for item in value]
            case str() if value.startswith("$"):
                return find(value)
        return value

    return {key: replaced(item) for key, item in request.items()}


def _entity(provider: OpenAiEmulator, model: str, task: str) -> Json:
    """Return a served entity whose credential is its own: no role can read every secret."""
    made = entity(provider, "chat", model, task)
    config = made["external_model"]["openai_config"]
    del config["openai_api_key"]
    config["openai_api_key_plaintext"] = API_KEY
    return made
