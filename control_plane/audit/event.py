"""What an audit event says of an RPC: pure.

Before: `interceptor`. After: `store.audit`. Beside: `log`, which decides when an event
is stored. A credential never gets into an event: of texts, only those of the fields named here do.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from google.api import annotations_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from modelplane.adapters.shared.rpc.metadata import caller_address
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.audit import AuditEvent

# Longer texts are cut: a refused caller does not fill the log.
MAX_TEXT = 256
_MAX_FIELDS = 200

# Fields of text whose values are names, levels and the like.
_RECORDED = frozenset(
    {
        "action",
        "application_id",
        "display_name",
        "entity_name",
        "group_name",
        "id",
        "initial_manage_principal",
        "key",
        "name",
        "op",
        "permission",
        "permission_level",
        "principal",
        "provider",
        "renewal_period",
        "request_object_id",
        "request_object_type",
        "scope",
        "served_entity_name",
        "served_model_name",
        "service_principal_name",
        "session_id",
        "task",
        "token_id",
        "user_name",
    }
)
_OBJECT_TYPES = {
    "AuditService": "audit-log",
    "ClientSecretService": "service-principal",
    "EndpointService": "serving-endpoint",
    "OAuthService": "access-token",
    "SessionService": "session",
    "SignInService": "session",
    "TokenService": "access-token",
    "UsageService": "usage",
}
# What an identity's RPC is about is the end of its name.
_IDENTITIES = {
    "User": "user",
    "Users": "user",
    "Me": "user",
    "ServicePrincipal": "service-principal",
    "ServicePrincipals": "service-principal",
    "Group": "group",
    "Groups": "group",
}
# The first of these that a request has names its object.
_NAMES = (
    "request_object_id",
    "name",
    "id",
    "token_id",
    "session_id",
    "service_principal_id",
    "application_id",
    "user_name",
    "display_name",
)


def find_method(path: str) -> MethodDescriptor | None:
    """Return the RPC with the path `/package.Service/Method`; None where there is none."""
    service, _, name = path.lstrip("/").partition("/")
    try:
        return descriptor_pool.Default().FindServiceByName(service).methods_by_name.get(name)
    except KeyError:
        return None


def is_change(method: MethodDescriptor) -> bool:
    """Tell whether an RPC is meant to change something: its REST form is no GET."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    return bool(rule.WhichOneof("pattern") != "get")


def build_event(
    method: MethodDescriptor,
    request: Message | None,
    principal: Principal | None,
    metadata: Mapping[str, str],
    request_id: str,
    now_ms: int,
) -> AuditEvent:
    """Return the event of an RPC that succeeds.

    Args:
        method: The RPC.
        request: Its request; None when that must not be looked at.
        principal: Who calls; None when that could not be told.
        metadata: Metadata of the call.
        request_id: Identifier of the call.
        now_ms: Time, milliseconds since the epoch.
    """
    kind, name = _object(method, request)
    return AuditEvent(
        time_ms=now_ms,
        principal_id=principal.id if principal else "",
        principal_name=principal.name if principal else "",
        action=str(method.name),
        object_type=kind,
        object_name=_clean(name),
        request_id=_clean(request_id),
        # Envoy drops what callers send under this name, and adds the address it sees.
        source_address=_clean(caller_address(metadata)),
        details=_details(request) if request else {},
    )


def _object(method: MethodDescriptor, request: Message | None) -> tuple[str, str]:
    service = str(method.containing_service.name)
    texts = dict(_top_texts(request)) if request else {}
    if service == "SecretService":
        scope, key = texts.get("scope", ""), texts.get("key", "")
        return ("secret", f"{scope}/{key}") if key else ("secret-scope", scope)
    kind = _OBJECT_TYPES.get(service) or service.removesuffix("Service").lower()
    if service == "IdentityService":
        kind = next((_IDENTITIES[end] for end in _IDENTITIES if method.name.endswith(end)), kind)
    if service == "PermissionService":
        kind = texts.get("request_object_type", kind).removesuffix("s")
    return _clean(kind), next((texts[name] for name in _NAMES if texts.get(name)), "")


def _top_texts(request: Message) -> Iterator[tuple[str, str]]:
    """Yield the texts of a request, and of the resource that it carries where it has no name."""
    for field, value in request.ListFields():
        if field.message_type and not field.is_repeated:
            yield from ((name, text) for name, text in _top_texts(value) if name in _NAMES)
    for field, value in request.ListFields():
        if isinstance(value, str) and not field.is_repeated:
            yield field.name, value


def _details(request: Message) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for path, value in _leaves(request, ""):
        if len(details) >= _MAX_FIELDS:
            details["…"] = None
            break
        details[path] = value
    return details


def _leaves(message: Message, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield path and value of each field that is set; None for a value that is not recorded."""
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        if not field.is_repeated:
            yield from _leaf(field, value, path)
        elif _is_open(field):
            yield path, None
        else:
            for index, item in enumerate(value):
                yield from _leaf(field, item, f"{path}[{index}]")


def _leaf(field: FieldDescriptor, value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any field
    if _is_open(field):
        yield path, None
    elif isinstance(value, Message):
        found = False
        for leaf in _leaves(value, f"{path}."):
            found = True
            yield leaf
        if not found:
            yield path, {}
    elif isinstance(value, str):
        yield path, _clean(value) if field.name in _RECORDED else None
    else:
        yield path, None if isinstance(value, bytes) else value


def _is_open(field: FieldDescriptor) -> bool:
    """Tell whether callers choose the names in a field: a map, or JSON of any form."""
    kind = field.message_type
    if kind is None:
        return False
    return kind.GetOptions().map_entry or kind.file.package in {"google.protobuf", "google.api"}


def _clean(text: str) -> str:
    """Return `text` as every database takes it, and no longer than an event has room for."""
    text = text.replace("\0", "�")
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
