"""Who may call what: the one table of expected outcomes, for `test_permission_matrix`.

A new RPC needs one row: a rule, and a request that would succeed for one who may make it. In the
request, `$chat`, `$text` and `$vector` are endpoints of each task, `$scope` is a secret scope, and
`$user`, `$robot`, `$group` and `$token` are identifiers of what belongs to no role. `$spare_…` is
one more of the kind, for this call alone, `$made` an endpoint that the caller has made, and `$new`
a name that is free.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from uuid import NAMESPACE_DNS, uuid5

from tests.e2e.rest import Json


class Rank(IntEnum):
    """What a role has on the endpoints and, in parentheses, on the secret scope."""

    NOTHING = 0
    VIEW = 1  # READ
    QUERY = 2  # WRITE
    MANAGE = 3
    ADMIN = 4


class Way(Enum):
    """How a role has its rank."""

    NO_TOKEN = "without a token"
    BAD_TOKEN = "with an unknown token"
    USER = "as a user"
    GROUP = "as a member of a group"
    ROBOT = "as a service principal"
    CREATOR = "as the creator"


@dataclass(frozen=True, slots=True)
class Role:
    """Who calls."""

    way: Way
    rank: Rank = Rank.NOTHING

    @property
    def known(self) -> bool:
        """Whether it has a token."""
        return self.way not in (Way.NO_TOKEN, Way.BAD_TOKEN)

    @property
    def name(self) -> str:
        """What it is granted by: its user name, application id or group."""
        name = f"matrix-{self.way.name}-{self.rank.name}".lower()
        return str(uuid5(NAMESPACE_DNS, name)) if self.way is Way.ROBOT else name


GRANTED = (Rank.VIEW, Rank.QUERY, Rank.MANAGE)
STRANGER = Role(Way.USER)
CREATOR = Role(Way.CREATOR, Rank.MANAGE)
ROLES = (
    Role(Way.NO_TOKEN),
    Role(Way.BAD_TOKEN),
    STRANGER,
    Role(Way.ROBOT),
    *(Role(way, rank) for way in (Way.USER, Way.GROUP, Way.ROBOT) for rank in GRANTED),
    CREATOR,
    # Administrators are what the group `admins` makes them.
    Role(Way.GROUP, Rank.ADMIN),
    Role(Way.ROBOT, Rank.ADMIN),
)


class Outcome(Enum):
    """What comes of a call: HTTP status and name of the gRPC status."""

    OK = (200, "OK")
    UNAUTHENTICATED = (401, "UNAUTHENTICATED")
    DENIED = (403, "PERMISSION_DENIED")
    # Answered exactly as if the object did not exist.
    HIDDEN = (404, "NOT_FOUND")
    # Part of an object is not there, which one is told who may know of the object.
    ABSENT = (404, "NOT_FOUND", "part")
    CONFLICT = (409, "ABORTED")
    # Of an endpoint of another kind.
    REFUSED = (400, "INVALID_ARGUMENT")


OK, DENIED, HIDDEN = Outcome.OK, Outcome.DENIED, Outcome.HIDDEN


@dataclass(frozen=True, slots=True)
class Rule:
    """The outcome for each rank of those who have a token, from NOTHING to ADMIN."""

    outcomes: tuple[Outcome, Outcome, Outcome, Outcome, Outcome]
    unknown: Outcome = Outcome.UNAUTHENTICATED

    def outcome(self, role: Role) -> Outcome:
        """Return what `role` gets."""
        return self.outcomes[role.rank] if role.known else self.unknown


#                NOTHING VIEW    QUERY   MANAGE  ADMIN
OPEN = Rule(    (OK,     OK,     OK,     OK,     OK), unknown=OK)  # fmt: skip
ANYONE = Rule(  (OK,     OK,     OK,     OK,     OK))  # fmt: skip
VIEW = Rule(    (HIDDEN, OK,     OK,     OK,     OK))  # fmt: skip
QUERY = Rule(   (HIDDEN, DENIED, OK,     OK,     OK))  # fmt: skip
MANAGE = Rule(  (HIDDEN, DENIED, DENIED, OK,     OK))  # fmt: skip
ADMIN = Rule(   (DENIED, DENIED, DENIED, DENIED, OK))  # fmt: skip
# Of another principal, whoever asks.
OWN = Rule(     (HIDDEN, HIDDEN, HIDDEN, HIDDEN, HIDDEN))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One RPC.

    Attributes:
        rule: What each rank gets.
        request: Fields of the request message.
        allowed: What those get whom the rule lets through.
        lists: What the answer lists, and the rank from which on; None: this is no list.
        streams: Whether it is also to be called for a stream, by `stream` in the payload.
        in_turn: Whether the calls must follow each other, since they would meet.
    """

    rule: Rule
    request: Json
    allowed: Outcome = OK
    lists: tuple[str, Rank] | None = None
    streams: bool = False
    in_turn: bool = False

    def outcome(self, role: Role) -> Outcome:
        """Return what `role` gets."""
        outcome = self.rule.outcome(role)
        return self.allowed if outcome is OK else outcome


_CHAT = {"name": "$chat"}
# No provider's model has logs here.
_NO_MODEL = {"name": "$chat", "served_model_name": "nothing"}
_MESSAGES = [{"role": "user", "content": "hello there"}]
_TYPED_CHAT: Json = {"model": "$chat", "messages": [{"role": "user", "text": "hello there"}]}
_TYPED_TEXT: Json = {"model": "$text", "text": "Once upon"}
_OBJECT = {"request_object_type": "serving-endpoints", "request_object_id": "$chat_id"}
_SCOPE = {"scope": "$scope"}
_RENAME: Json = {"Operations": [{"op": "replace", "path": "displayName", "value": "matrix-new"}]}
_EMPTY: Json = {"Operations": [{"op": "replace", "path": "members", "value": []}]}
_LOGIN = "grant_type=client_credentials&scope=all-apis&client_id=nobody&client_secret=wrong"
_CONFIG: Json = {"served_entities": ["$entity"]}

# A model that is not there.
_UNKNOWN = {"entity_name": "system.ai.none", "entity_version": "1", "provisioned_model_units": 50}
_UNITS: Json = {"config": {"served_entities": [_UNKNOWN]}}

ROWS: Mapping[str, Row] = {
    # Endpoints
    "EndpointService.CreateServingEndpoint": Row(ANYONE, {"name": "$new"}),
    "EndpointService.ListServingEndpoints": Row(ANYONE, {}, lists=("$chat", Rank.VIEW)),
    "EndpointService.ListFoundationModelEndpoints": Row(ANYONE, {}),
    "EndpointService.GetServingEndpoint": Row(VIEW, _CHAT),
    # Of a deployment that hosts no models.
    "EndpointService.CreateProvisionedThroughputEndpoint": Row(
        ANYONE, {"name": "$new"} | _UNITS, allowed=Outcome.ABSENT
    ),
    "EndpointService.UpdateProvisionedThroughputEndpointConfig": Row(
        MANAGE, _CHAT | _UNITS, allowed=Outcome.REFUSED
    ),
    "EndpointService.GetModelOptimizationInfo": Row(
        ANYONE, {"model_name": "system.ai.none", "model_version": "1"}, allowed=Outcome.ABSENT
    ),
    "EndpointService.DeleteServingEndpoint": Row(MANAGE, {"name": "$spare_endpoint"}),
    "EndpointService.UpdateServingEndpointConfig": Row(
        MANAGE, _CHAT | {"config": _CONFIG}, in_turn=True
    ),
    "EndpointService.ValidateServingEndpoint": Row(ANYONE, {"create": {"name": "$new"}}),
    "EndpointService.CancelServingEndpointUpdate": Row(MANAGE, _CHAT, allowed=Outcome.CONFLICT),
    # What these endpoints serve has no processes.
    "EndpointService.StopServingEndpoint": Row(MANAGE, _CHAT, allowed=Outcome.REFUSED),
    "EndpointService.StartServingEndpoint": Row(MANAGE, _CHAT, allowed=Outcome.CONFLICT),
    "EndpointService.RollbackServingEndpointConfig": Row(
        MANAGE, _CHAT | {"config_version": 1}, in_turn=True
    ),
    "EndpointService.ListServingEndpointConfigVersions": Row(VIEW, _CHAT),
    "EndpointService.GetServingEndpointConfigVersion": Row(VIEW, _CHAT | {"config_version": 1}),
    "EndpointService.CompareServingEndpointConfigVersions": Row(
        VIEW, _CHAT | {"from_version": 1, "to_version": 1}
    ),
    "EndpointService.PatchServingEndpointTags": Row(MANAGE, _CHAT | {"add_tags": [{"key": "t"}]}),
    "EndpointService.PutServingEndpointRateLimits": Row(MANAGE, _CHAT | {"rate_limits": []}),
    "EndpointService.GetServingEndpointRateLimits": Row(VIEW, _CHAT),
    "EndpointService.PutServingEndpointAiGateway": Row(MANAGE, _CHAT | {"ai_gateway": {}}),
    "EndpointService.GetServingEndpointAiGateway": Row(VIEW, _CHAT),
    "EndpointService.PutServingEndpointPolicies": Row(MANAGE, _CHAT | {"policies": []}),
    "EndpointService.GetServingEndpointPolicies": Row(VIEW, _CHAT),
    "EndpointService.PatchServingEndpointNotifications": Row(MANAGE, _CHAT),
    "EndpointService.PatchServingEndpointTelemetryConfig": Row(MANAGE, _CHAT),
    "EndpointService.GetServingEndpointOpenApi": Row(VIEW, _CHAT),
    "EndpointService.GetServingEndpointMetrics": Row(VIEW, _CHAT),
    "EndpointService.GetServedModelBuildLogs": Row(MANAGE, _NO_MODEL, Outcome.ABSENT),
    "EndpointService.GetServedModelLogs": Row(MANAGE, _NO_MODEL, Outcome.ABSENT),
    # Permissions
    "RolloutService.GetServingEndpointRollout": Row(VIEW, _CHAT | {"config_version": 1}),
    "TrafficService.GetServingEndpointSeries": Row(VIEW, _CHAT),
    "TrafficService.GetLimitUse": Row(VIEW, _CHAT),
    "PermissionService.GetPermissions": Row(MANAGE, _OBJECT),
    "PermissionService.SetPermissions": Row(MANAGE, _OBJECT | {"access_control_list": "$grants"}),
    "PermissionService.UpdatePermissions": Row(MANAGE, _OBJECT | {"access_control_list": []}),
    "PermissionService.GetPermissionLevels": Row(VIEW, _OBJECT),
    # Who has made an endpoint manages one; `test_permissions` shows what others get.
    "PermissionService.FindPrincipals": Row(ANYONE, {"search": "$made"}),
    # Secrets: the ranks are READ, WRITE and MANAGE
    "SecretService.CreateScope": Row(ANYONE, {"scope": "$new"}),
    "SecretService.ListScopes": Row(ANYONE, {}, lists=("$scope", Rank.VIEW)),
    "SecretService.DeleteScope": Row(MANAGE, {"scope": "$spare_scope"}),
    "SecretService.PutSecret": Row(QUERY, _SCOPE | {"key": "k", "string_value": "v"}),
    "SecretService.GetSecret": Row(VIEW, _SCOPE | {"key": "key"}, allowed=DENIED),
    "SecretService.ListSecrets": Row(VIEW, _SCOPE),
    "SecretService.ListSecretUses": Row(VIEW, _SCOPE),
    "SecretService.DeleteSecret": Row(QUERY, {"scope": "$spare_scope", "key": "key"}),
    "SecretService.PutAcl": Row(MANAGE, _SCOPE | {"principal": "admins", "permission": "MANAGE"}),
    "SecretService.GetAcl": Row(MANAGE, _SCOPE | {"principal": CREATOR.name}),
    "SecretService.ListAcls": Row(MANAGE, _SCOPE),
    "SecretService.DeleteAcl": Row(MANAGE, {"scope": "$spare_scope", "principal": CREATOR.name}),
    # Identities
    "IdentityService.GetMe": Row(ANYONE, {}),
    "IdentityService.ListUsers": Row(ADMIN, {}),
    "IdentityService.GetUser": Row(ADMIN, {"id": "$user"}),
    "IdentityService.CreateUser": Row(ADMIN, {"user": {"userName": "$new"}}),
    "IdentityService.ReplaceUser": Row(ADMIN, {"id": "$user", "user": {"displayName": "x"}}),
    "IdentityService.PatchUser": Row(ADMIN, {"id": "$user", "patch": _RENAME}),
    "IdentityService.DeleteUser": Row(ADMIN, {"id": "$spare_user"}),
    "IdentityService.ListServicePrincipals": Row(ADMIN, {}),
    "IdentityService.GetServicePrincipal": Row(ADMIN, {"id": "$robot"}),
    "IdentityService.CreateServicePrincipal": Row(
        ADMIN, {"service_principal": {"displayName": "$new"}}
    ),
    "IdentityService.ReplaceServicePrincipal": Row(
        ADMIN, {"id": "$robot", "service_principal": {"displayName": "matrix-new"}}
    ),
    "IdentityService.PatchServicePrincipal": Row(ADMIN, {"id": "$robot", "patch": _RENAME}),
    "IdentityService.DeleteServicePrincipal": Row(ADMIN, {"id": "$spare_robot"}),
    "IdentityService.ListGroups": Row(ADMIN, {}),
    "IdentityService.GetGroup": Row(ADMIN, {"id": "$group"}),
    "IdentityService.CreateGroup": Row(ADMIN, {"group": {"displayName": "$new"}}),
    "IdentityService.ReplaceGroup": Row(
        ADMIN, {"id": "$group", "group": {"displayName": "matrix-new-group"}}, in_turn=True
    ),
    "IdentityService.PatchGroup": Row(ADMIN, {"id": "$group", "patch": _EMPTY}, in_turn=True),
    "IdentityService.DeleteGroup": Row(ADMIN, {"id": "$spare_group"}),
    # The audit log
    "AuditService.ListAuditEvents": Row(ADMIN, {"max_results": 1}),
    # The deployment as a whole
    "DeploymentService.GetDeployment": Row(ANYONE, {}),
    "DeploymentService.ListWorkers": Row(ADMIN, {}),
    # What changes: each is told of what it may see
    "ChangeService.WatchChanges": Row(ANYONE, {}),
    # The usage ledger
    "UsageService.ListUsage": Row(ADMIN, {"max_results": 1}),
    "UsageService.ListServingEndpointUsage": Row(MANAGE, _CHAT | {"max_results": 1}),
    "UsageService.ListServedEntities": Row(ADMIN, {}),
    "UsageService.GetPrices": Row(ANYONE, {}),
    "UsageService.PutPrices": Row(ADMIN, {"prices": []}),
    # Access tokens
    "TokenService.CreateToken": Row(ANYONE, {"comment": "x"}),
    "TokenService.ListTokens": Row(ANYONE, {}),
    "TokenService.DeleteToken": Row(OWN, {"token_id": "$token"}),
    "TokenService.ListManagedTokens": Row(ADMIN, {}),
    "TokenService.GetManagedToken": Row(ADMIN, {"token_id": "$token"}),
    "TokenService.DeleteManagedToken": Row(ADMIN, {"token_id": "$spare_token"}),
    "TokenService.CreateOnBehalfOfToken": Row(ADMIN, {"application_id": "$application"}),
    # Sessions of browsers
    "SessionService.CreateSession": Row(ANYONE, {}),
    "SessionService.ListSessions": Row(ANYONE, {}),
    "SessionService.DeleteSession": Row(OWN, {"session_id": "$token"}),
    # Client secrets, and the tokens that they are exchanged for
    "ClientSecretService.CreateClientSecret": Row(ADMIN, {"service_principal_id": "$spare_robot"}),
    "ClientSecretService.ListClientSecrets": Row(ADMIN, {"service_principal_id": "$robot"}),
    "ClientSecretService.DeleteClientSecret": Row(
        ADMIN, {"service_principal_id": "$robot", "secret_id": "none"}, allowed=Outcome.ABSENT
    ),
    "OAuthService.IssueToken": Row(OPEN, {"form": _LOGIN}, allowed=Outcome.UNAUTHENTICATED),
    "OAuthService.GetAuthorizationServer": Row(OPEN, {}),
    "OAuthService.GetJsonWebKeySet": Row(OPEN, {}),
    # Signing in with an account at an outside issuer, of which this deployment has none
    "SignInService.ListSignInMethods": Row(OPEN, {}),
    "SignInService.BeginSignIn": Row(OPEN, {"issuer": "none"}, allowed=Outcome.ABSENT),
    "SignInService.CompleteSignIn": Row(OPEN, {"issuer": "none"}, allowed=Outcome.ABSENT),
    "ProtoService.GetProtos": Row(ANYONE, {}),
    "UiService.GetUiFile": Row(OPEN, {"path": "index.html"}),
    # Queries: over REST, and over gRPC with JSON
    "InferenceService.Query": Row(
        QUERY,
        _CHAT | {"served_model_name": "chat", "payload": {"messages": _MESSAGES}},
        streams=True,
    ),
    "InferenceService.CreateChatCompletion": Row(
        QUERY, {"payload": {"model": "$chat", "messages": _MESSAGES}}, streams=True
    ),
    "InferenceService.CreateCompletion": Row(
        QUERY, {"payload": {"model": "$text", "prompt": "Once upon"}}, streams=True
    ),
    "InferenceService.CreateEmbedding": Row(
        QUERY, {"payload": {"model": "$vector", "input": "hello"}}
    ),
    "InferenceService.CheckGuardrails": Row(QUERY, {"payload": {"name": "$chat", "text": "Hi"}}),
    "InferenceService.ListModels": Row(ANYONE, {}, lists=("$chat", Rank.QUERY)),
    "InferenceService.GetModel": Row(QUERY, {"name": "$chat"}),
    # Queries over gRPC with typed messages
    "ModelService.Chat": Row(QUERY, _TYPED_CHAT),
    "ModelService.StreamChat": Row(QUERY, _TYPED_CHAT),
    "ModelService.Complete": Row(QUERY, _TYPED_TEXT),
    "ModelService.StreamComplete": Row(QUERY, _TYPED_TEXT),
    "ModelService.Embed": Row(QUERY, {"model": "$vector", "text": "hello"}),
}
