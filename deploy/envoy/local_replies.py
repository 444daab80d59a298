"""The answers that Envoy gives by itself, in the shape of all errors.

What the planes refuse is shaped by `reshape.lua`, which leaves these as they are. Used by
`listener.py`.
"""

from dataclasses import dataclass, field

from modelplane.adapters.shared.rpc.authorization import NOT_SENT
from modelplane.adapters.shared.rpc.metadata import ERROR_CODE, HTTP_STATUS, REQUEST_ID, RETRY_AFTER
from modelplane.adapters.shared.rpc.services import PUBLIC_SERVICES, rules_of
from modelplane.adapters.shared.rpc.sizes import ANONYMOUS_BODY_TOO_LARGE, BODY_TOO_LARGE
from modelplane.adapters.shared.rpc.status import error_type
from modelplane.adapters.shared.tasks import PATHS
from modelplane.deploy.envoy.clusters import Block
from modelplane.deploy.envoy.session import SIGN_IN_PATH

_CEL = "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_RETRY_SOON = {RETRY_AFTER: "1"}
# The transcoder, which makes a gRPC call of a REST one, keeps the path that it replaces.
_IS_GRPC = (
    "request.headers['content-type'].startsWith('application/grpc')"
    " && !('x-envoy-original-path' in request.headers)"
)
# After the transcoder, `reshape.lua` does what is to be done for queries.
_ROUTES = ", ".join(
    (
        "POST /serving-endpoints/{name}/invocations",
        "POST /serving-endpoints/{name}/served-models/{served_model_name}/invocations",
        *(f"POST {path}" for path in PATHS.values()),
        "GET /serving-endpoints/models",
        "GET /serving-endpoints/models/{name}",
    )
)
_IS_QUERY = "request.path.startsWith('/serving-endpoints/')"

# Where `filters.login_overrides` holds.
_IS_ANONYMOUS = " || ".join(
    f"request.path.startsWith('{prefix}')"
    for prefix in (
        "/oidc/",
        f"{SIGN_IN_PATH}/",
        *(f"/{service.full_name}/" for service in PUBLIC_SERVICES if rules_of(service).anonymous),
    )
)


@dataclass(frozen=True, slots=True)
class _Reply:
    """What is sent when `condition`, a CEL expression, holds: the first such reply wins."""

    condition: str
    status: int
    error_code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)


_BAD = ("BAD_REQUEST", "The request is malformed: %RESPONSE_CODE_DETAILS%.")
_REPLIES = (
    _Reply(
        f"(response.code == 404 || response.code == 405) && {_IS_QUERY}",
        404,
        "ENDPOINT_NOT_FOUND",
        f"No API found for '%REQ(:METHOD)% %PATH(NQ)%'. There are: {_ROUTES}.",
    ),
    _Reply(
        "response.code == 404 || response.code == 405",
        404,
        "ENDPOINT_NOT_FOUND",
        "No API found for '%REQ(:METHOD)% %PATH(NQ)%'.",
    ),
    _Reply(
        f"response.code == 413 && ({_IS_ANONYMOUS})", 400, "BAD_REQUEST", ANONYMOUS_BODY_TOO_LARGE
    ),
    _Reply(
        "response.code == 413 || response.code_details.contains('request_buffer_size_limit')",
        400,
        "BAD_REQUEST",
        BODY_TOO_LARGE,
    ),
    _Reply(
        "response.code_details.contains('grpc_json_transcode')",
        400,
        "BAD_REQUEST",
        "The request does not fit this API: %LOCAL_REPLY_BODY%",
    ),
    _Reply(
        "response.code_details.startsWith('path_normalization_failed')",
        400,
        "BAD_REQUEST",
        "The path must not hold an escaped slash, backslash or control character, nor a fragment.",
    ),
    _Reply("response.code == 431", 400, "BAD_REQUEST", "The request headers are too large."),
    _Reply(
        "response.code == 408", 400, "BAD_REQUEST", "The request did not arrive completely in time."
    ),
    _Reply(
        # What `strangers.lua` was told by the plane that knows callers.
        "response.code == 401 && response.code_details == 'lua_response'",
        401,
        "UNAUTHENTICATED",
        "%LOCAL_REPLY_BODY%",
    ),
    _Reply(
        "response.code == 401",
        401,
        "UNAUTHENTICATED",
        NOT_SENT,
    ),
    _Reply("response.code == 403", 403, "PERMISSION_DENIED", "The request is not allowed."),
    _Reply(
        "response.code == 429", 429, "REQUEST_LIMIT_EXCEEDED", "Too many requests.", _RETRY_SOON
    ),
    _Reply(
        "response.code == 421",
        400,
        "BAD_REQUEST",
        "The Host header must be the name or address of this server, and its port.",
    ),
    _Reply("response.code < 500", 400, *_BAD),
    _Reply(
        "response.code == 504 || response.code_details.contains('timeout')",
        504,
        "DEADLINE_EXCEEDED",
        "The server did not answer in time.",
    ),
    _Reply(
        "response.code_details.startsWith('health_check')",
        503,
        "TEMPORARILY_UNAVAILABLE",
        "No worker is healthy.",
        _RETRY_SOON,
    ),
    _Reply(
        # A body that arrived when there was no memory for it; `overload.py`.
        "response.code_details == 'overload'",
        503,
        "TEMPORARILY_UNAVAILABLE",
        "The service is not available at the moment; try again.",
        _RETRY_SOON,
    ),
    _Reply("response.code == 500", 500, "INTERNAL_ERROR", "The server failed unexpectedly."),
    _Reply(
        "true",
        503,
        "TEMPORARILY_UNAVAILABLE",
        "The service is not available at the moment; try again.",
        _RETRY_SOON,
    ),
)


def build_local_replies() -> Block:
    """Return Envoy's local reply configuration; answers below 400 keep their body."""
    mappers = [
        mapper
        for reply in _REPLIES
        for mapper in (_for_grpc(reply), _for_queries(reply), _for_rest(reply))
    ]
    return {
        "mappers": [_health_ok(), *mappers],
        "body_format": {"text_format_source": {"inline_string": "%LOCAL_REPLY_BODY%"}},
    }


def _health_ok() -> Block:
    mapper = _when("response.code == 200 && response.code_details.startsWith('health_check')")
    return mapper | {"body_format_override": {"json_format": {"status": "SERVING"}}}


def _for_grpc(reply: _Reply) -> Block:
    """Answer a gRPC call as the planes themselves would."""
    headers = {ERROR_CODE: reply.error_code, HTTP_STATUS: str(reply.status), **reply.headers}
    return _when(f"{_IS_GRPC} && {_is_error(reply)}") | {
        "body_format_override": {"text_format_source": {"inline_string": reply.message}},
        "headers_to_add": _add(headers),
    }


def _for_queries(reply: _Reply) -> Block:
    """Answer as clients of OpenAI's API read it, too."""
    error = {
        "message": reply.message,
        "type": error_type(reply.status),
        "code": reply.error_code,
        "param": None,
    }
    return _for_rest(reply, f"{_IS_QUERY} && {_is_error(reply)}", error=error)


def _for_rest(reply: _Reply, condition: str = "", **more: object) -> Block:
    # Requests refused before they were read have no id yet.
    headers = {REQUEST_ID: "%UNIQUE_ID%", **reply.headers}
    return _when(condition or _is_error(reply)) | {
        "status_code": reply.status,
        "body_format_override": {
            "json_format": {"error_code": reply.error_code, "message": reply.message, **more}
        },
        "headers_to_add": _add(headers),
    }


def _is_error(reply: _Reply) -> str:
    return f"response.code >= 400 && ({reply.condition})"


def _when(expression: str) -> Block:
    filter_config = {"@type": _CEL, "expression": expression}
    return {"filter": {"extension_filter": {"name": "cel", "typed_config": filter_config}}}


def _add(headers: dict[str, str]) -> list[Block]:
    return [
        {"header": {"key": key, "value": value}, "append_action": "ADD_IF_ABSENT"}
        for key, value in headers.items()
    ]
