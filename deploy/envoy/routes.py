"""Which request goes where.

REST paths pass the transcoder, gRPC methods go as they are, and all else is a 404. Used by
`listener.py`, whose filters are switched off here where they do not belong.
"""

from collections.abc import Sequence

from google.protobuf.descriptor import ServiceDescriptor

from modelplane.adapters.shared.rpc.authorization import API_KEY_HEADERS
from modelplane.adapters.shared.rpc.metadata import ORIGIN
from modelplane.adapters.shared.rpc.services import PUBLIC_SERVICES, rules_of
from modelplane.adapters.shared.tasks import PATHS
from modelplane.deploy.envoy.clusters import CONTROL_PLANE, WORKERS, Block
from modelplane.deploy.envoy.cors import CORS, build_cors_policy
from modelplane.deploy.envoy.filters import (
    HEADERS,
    HEALTH,
    REST_FILTERS,
    STRANGERS,
    inference_overrides,
    login_overrides,
    oauth_overrides,
    scim_overrides,
    strangers,
)
from modelplane.deploy.envoy.options import EnvoyOptions, Queries
from modelplane.deploy.envoy.session import PATH as SESSION_PATH
from modelplane.deploy.envoy.session import PRIVATE_HEADERS, SIGN_IN_PATH, build_session_route
from modelplane.deploy.envoy.ui import build_ui_routes

_GRPC_CONTENT = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
# Longer than the longest request timeout of a worker, which is the one that is meant to end a call.
_STREAM_IDLE = "900s"
_REST_TIMEOUT = "60s"
# Of health checks and reflection, which are no calls of the API and are guarded by nothing else.
OPEN_STREAM_SECONDS = 10
# What the client has connected to, as far as it can be seen here.
_ORIGIN = "%REQ(:SCHEME)%://%REQ(:AUTHORITY)%"
# What may be told to a caller as that.
_AUTHORITY = r"[A-Za-z0-9._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?"
# That of a Databricks deployment with a single workspace.
_WORKSPACE_ID = "0"
_DATABRICKS_CONFIG = "/.well-known/databricks-config"
# Paths whose answers depend on the origin.
_TELLING_ORIGIN = (SESSION_PATH, "/oidc", _DATABRICKS_CONFIG)
# Marks the one route on which API keys pass; taken out before Envoy sees it.
_TAKES_KEYS = "takes_keys"
# Queries that a worker takes as they are. The others are transcoded, and so are those that name
# an endpoint with letters that need an escape, as no endpoint has them.
QUERY_PATH = "|".join(("/serving-endpoints/[A-Za-z0-9_-]+/invocations", *PATHS.values()))
# Queries in the form of other providers' APIs, and what belongs to these.
NATIVE_PATH = (
    "/ai-gateway(/.*)?|/serving-endpoints/(anthropic/v1/.*|gemini/v1(beta)?/.*|(v1/)?responses)"
)
# What comes with queries and no worker reads. To leave it out costs Envoy nothing that can be
# measured, and saves a worker some 5 µs for a request of OpenAI's SDK.
_UNREAD = (
    "accept",
    "accept-encoding",
    "x-envoy-external-address",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-stainless-arch",
    "x-stainless-async",
    "x-stainless-lang",
    "x-stainless-os",
    "x-stainless-package-version",
    "x-stainless-read-timeout",
    "x-stainless-retry-count",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
)


def build_route_config(options: EnvoyOptions) -> Block:
    """Return the route table of the public port."""
    origin = options.public_url.rstrip("/") or _ORIGIN
    origins = options.cors_origins
    routes = [
        *([] if options.no_ui else [build_session_route()]),
        # Envoy tries one route after the other: before those of gRPC, which no query can take, two
        # dozen tries less are a twentieth of all that it does for a query.
        *([_query()] if options.queries is Queries.DIRECT else []),
        _native_query(),
        *map(_service, PUBLIC_SERVICES),
        _health_check(),
        _reflection(),
        _inference(),
        _scim(),
        *([] if options.public_url else map(_strange_host, _TELLING_ORIGIN)),
        _sign_in(origin),
        _sessions(origin),
        _rest("/api/2.0", CONTROL_PLANE, _REST_TIMEOUT),
        _oidc(origin),
        *([] if options.no_ui else build_ui_routes(login_overrides())),
        _databricks_config(origin),
        _unknown_grpc_method(),
        _not_found(),
    ]
    policies = {"typed_per_filter_config": {CORS: build_cors_policy(origins)}} if origins else {}
    return {
        "name": "public",
        "virtual_hosts": [
            {
                "name": "public",
                "domains": ["*"],
                **policies,
                "request_headers_to_remove": PRIVATE_HEADERS,
                "retry_policy": _retry_policy(),
                "routes": [_without_keys(route) for route in routes],
            }
        ],
    }


def _without_keys(route: Block) -> Block:
    """Keep from whoever answers what clients of other APIs send as a key, but where it is read."""
    if route.pop(_TAKES_KEYS, False):
        return route
    removed = route.get("request_headers_to_remove")
    before = removed if isinstance(removed, tuple) else ()
    return {**route, "request_headers_to_remove": (*before, *API_KEY_HEADERS)}


def _retry_policy() -> Block:
    """Retry on another server, and only what no server has begun to work on."""
    return {
        "retry_on": "connect-failure,refused-stream,reset-before-request",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.01s", "max_interval": "0.1s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3"
                    ".PreviousHostsPredicate"
                },
            }
        ],
        # Least-request choice prefers a server that has just died, since it has no request in
        # flight: of two it is picked three times in four, so a few attempts are too few.
        "host_selection_retry_max_attempts": 100,
    }


def _service(service: ServiceDescriptor) -> Block:
    rules = rules_of(service)
    route = _grpc(f"/{service.full_name}/", WORKERS if rules.answered_by_workers else CONTROL_PLANE)
    if rules.anonymous:
        route["typed_per_filter_config"] = _native() | login_overrides()
    return route


def _grpc(prefix: str, cluster: str) -> Block:
    return {
        "match": {"prefix": prefix, "headers": [_GRPC_CONTENT]},
        "route": {"cluster": cluster, "timeout": "0s", "idle_timeout": _STREAM_IDLE},
        "typed_per_filter_config": _native()
        | (_without((STRANGERS,)) if cluster == WORKERS else strangers("grpc")),
    }


def _native() -> Block:
    """Switch off what a gRPC call must not pass."""
    return _without((HEADERS, *REST_FILTERS))


def _health_check() -> Block:
    """Let anybody ask for the health; to watch it would hold a stream of the control plane."""
    return {
        "match": {"path": "/grpc.health.v1.Health/Check", "headers": [_GRPC_CONTENT]},
        "route": _short(),
        "typed_per_filter_config": _native() | _without((STRANGERS,)),
    }


def _reflection() -> Block:
    """Let callers reflect for a while, if the control plane knows them."""
    return _grpc("/grpc.reflection.", CONTROL_PLANE) | {"route": _short()}


def _short() -> Block:
    """Return a route to the control plane on which no stream lasts."""
    most = {"max_stream_duration": f"{OPEN_STREAM_SECONDS}s"}
    return {"cluster": CONTROL_PLANE, "timeout": "0s", "max_stream_duration": most}


def _rest(prefix: str, cluster: str, timeout: str) -> Block:
    return {
        # A gRPC call to a REST path would pass the transcoder untouched.
        "match": {
            "path_separated_prefix": prefix,
            "headers": [
                {**_GRPC_CONTENT, "invert_match": True, "treat_missing_header_as_empty": True}
            ],
        },
        "route": {"cluster": cluster, "timeout": timeout, "idle_timeout": _STREAM_IDLE},
        "typed_per_filter_config": strangers("query" if cluster == WORKERS else "rest"),
    }


def _query() -> Block:
    """Hand a query to the worker as it is: it needs no filter but that."""
    return {
        "match": {
            "safe_regex": {"regex": QUERY_PATH},
            "headers": [
                {"name": ":method", "string_match": {"exact": "POST"}},
                {**_GRPC_CONTENT, "invert_match": True, "treat_missing_header_as_empty": True},
            ],
        },
        "route": {"cluster": WORKERS, "timeout": "0s", "idle_timeout": _STREAM_IDLE},
        "request_headers_to_remove": _UNREAD,
        "typed_per_filter_config": _native() | _without((HEALTH, STRANGERS)),
    }


def _native_query() -> Block:
    """Hand what comes in another API's form to the worker, which alone can read it.

    Its clients send the token as that API's key, which no other route lets pass.
    """
    return {
        "match": {
            "safe_regex": {"regex": NATIVE_PATH},
            "headers": [
                {**_GRPC_CONTENT, "invert_match": True, "treat_missing_header_as_empty": True}
            ],
        },
        "route": {"cluster": WORKERS, "timeout": "0s", "idle_timeout": _STREAM_IDLE},
        "request_headers_to_remove": _UNREAD,
        "typed_per_filter_config": _native() | _without((HEALTH, STRANGERS)),
        _TAKES_KEYS: True,
    }


def _inference() -> Block:
    """Answer as clients of OpenAI's API read it."""
    return _rest("/serving-endpoints", WORKERS, "0s") | {
        "typed_per_filter_config": inference_overrides()
    }


def _scim() -> Block:
    """Speak SCIM's dialect; the header is what clients read the workspace's id from."""
    return _rest("/api/2.0/preview/scim/v2", CONTROL_PLANE, _REST_TIMEOUT) | {
        "typed_per_filter_config": scim_overrides() | strangers("rest"),
        "response_headers_to_add": [
            {"header": {"key": "x-databricks-org-id", "value": _WORKSPACE_ID}}
        ],
    }


def _strange_host(prefix: str) -> Block:
    """Refuse a host that no server has, where answers would repeat it."""
    host = {"name": ":authority", "string_match": {"safe_regex": {"regex": _AUTHORITY}}}
    return {
        "match": {"prefix": prefix, "headers": [host | {"invert_match": True}]},
        "direct_response": {"status": 421},
        "typed_per_filter_config": _without((STRANGERS, *REST_FILTERS)),
    }


def _sessions(origin: str) -> Block:
    """Begin and end sessions; the control plane learns whether their cookie is safe on the way."""
    return _rest(SESSION_PATH, CONTROL_PLANE, _REST_TIMEOUT) | {
        "request_headers_to_add": [_header(ORIGIN, origin)],
    }


def _sign_in(origin: str) -> Block:
    """Begin sessions of those who have no access token: they are strangers till then."""
    return _rest(SIGN_IN_PATH, CONTROL_PLANE, _REST_TIMEOUT) | {
        "typed_per_filter_config": login_overrides(),
        "request_headers_to_add": [_header(ORIGIN, origin)],
        "response_headers_to_add": [_header("cache-control", "no-store")],
    }


def _oidc(origin: str) -> Block:
    """Log in; the control plane learns under which address it is reached."""
    return _rest("/oidc", CONTROL_PLANE, _REST_TIMEOUT) | {
        "typed_per_filter_config": oauth_overrides(),
        "request_headers_to_add": [_header(ORIGIN, origin)],
        # Of an answer that holds a token (RFC 6749, section 5.1).
        "response_headers_to_add": [_header("cache-control", "no-store")],
    }


def _databricks_config(origin: str) -> Block:
    """Answer the discovery call that every SDK makes at its start.

    Answered here, since an SDK that gets no answer waits for minutes, also one that has a token.
    """
    return {
        "match": {"path": _DATABRICKS_CONFIG},
        "direct_response": {
            "status": 200,
            "body_format": {"json_format": {"oidc_endpoint": f"{origin}/oidc"}},
        },
        "response_headers_to_add": [
            _header("content-type", "application/json"),
            # It may repeat the host that one caller named, which no cache must tell another.
            _header("cache-control", "no-store"),
        ],
        "typed_per_filter_config": _without((STRANGERS, *REST_FILTERS)),
    }


def _header(name: str, value: str) -> Block:
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _unknown_grpc_method() -> Block:
    return {
        "match": {"prefix": "/", "headers": [_GRPC_CONTENT]},
        "direct_response": {"status": 404},
        "typed_per_filter_config": _native() | _without((STRANGERS,)),
    }


def _not_found() -> Block:
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404},
        "typed_per_filter_config": _without((STRANGERS, *REST_FILTERS)),
    }


def _without(filters: Sequence[str]) -> Block:
    disabled: Block = {
        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
        "disabled": True,
    }
    return dict.fromkeys(filters, disabled)
