"""The HTTP filters of the public port, in the order in which a request passes them.

An answer passes them in reverse: the transcoder makes JSON of it, the Lua filter gives an error
its shape, and the last one removes what only concerns gRPC. Used by `listener.py`.
"""

from collections.abc import Sequence
from pathlib import Path

from modelplane.adapters.shared.rpc.authorization import NOT_SENT
from modelplane.adapters.shared.rpc.over_rest import rest_service
from modelplane.adapters.shared.rpc.services import is_management, rules_of
from modelplane.adapters.shared.rpc.sizes import MAX_ANONYMOUS_BODY_BYTES, MAX_BODY_BYTES
from modelplane.deploy.envoy.clusters import WORKERS, Block
from modelplane.deploy.envoy.cors import build_cors
from modelplane.deploy.envoy.descriptors import (
    REST_SERVICES,
    path_parameters,
    public_descriptors,
)
from modelplane.deploy.envoy.session import build_session_filter
from modelplane.deploy.envoy.ui import build_compressors

_TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
_RESHAPE = "reshape"
_BUFFER = "envoy.filters.http.buffer"
STRANGERS = "strangers"
HEALTH = "envoy.filters.http.health_check"
# Filters that a gRPC call must not pass, nor what Envoy answers by itself but for the first.
HEADERS = "headers"
REST_FILTERS = (_RESHAPE, _TRANSCODER)

# What Envoy holds of a body before it is known who sends it.
SMALL_BODY_BYTES = 64 * 1024
# Calls of the control plane by callers that it has not lately accepted, for each thread of Envoy:
# of some 1,200 that it answers.
STRANGERS_PER_SECOND = 200
STRANGERS_AT_ONCE = 600

# A list of thousands of endpoints, several times as large in JSON as in its message.
MAX_RESPONSE_BYTES = 128 * 1024 * 1024

# As Envoy calls them: those of management by names of their own.
_SERVICES, _SCIM_SERVICES = (
    [
        rest_service(service.full_name) if is_management(service) else str(service.full_name)
        for service in REST_SERVICES
        if rules_of(service).scim is scim
    ]
    for scim in (False, True)
)


def build_filters(*, cors: bool, ui: bool) -> list[Block]:
    """Return the chain of HTTP filters.

    Args:
        cors: Whether pages of the web may call.
        ui: Whether there is the user interface.
    """
    own = [build_cors()] if cors else []
    return [
        *own,
        *([*build_compressors(), build_session_filter()] if ui else []),
        _headers(),
        _health(),
        _buffer(),
        _strangers(),
        _reshape(),
        _transcoder(),
        _router(),
    ]


def remove(*, prefix: str = "", suffix: str = "") -> Block:
    """Return the mutation that removes all headers whose name has the prefix or suffix."""
    pattern = {"prefix": prefix} if prefix else {"suffix": suffix}
    return {"remove_on_match": {"key_matcher": pattern}}


def remove_all_but(kept: str, *, prefix: str) -> Block:
    """Return the mutation that removes all headers whose name has the prefix, except one."""
    rest = kept.removeprefix(prefix)
    # Envoy's expressions cannot exclude a word, so this spells out how a name departs from it.
    departures = [f"{rest[:place]}([^{letter}].*)?" for place, letter in enumerate(rest)]
    names = "|".join([*departures, f"{rest}.+"])
    return {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": f"{prefix}({names})"}}}}


def _health() -> Block:
    """Answer `/health`: is a worker healthy? Queries go on while no control plane answers."""
    return _filter(
        HEALTH,
        "health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[
            {"name": ":path", "string_match": {"safe_regex": {"regex": r"/health(\?.*)?"}}},
            {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}},
        ],
        # Envoy drops what is behind the point: one of a hundred workers is enough.
        cluster_min_healthy_percentages={WORKERS: {"value": 1}},
    )


def _headers() -> Block:
    return _filter(
        HEADERS,
        "header_mutation.v3.HeaderMutation",
        mutations={
            # A REST caller must not steer the gRPC call that its request becomes.
            "request_mutations": [remove(prefix="grpc-"), remove(suffix="-bin")],
            "response_mutations": [
                remove(prefix="grpc-"),
                remove(prefix="x-envoy-"),
                {"remove": "x-modelplane-error-code"},
                {"remove": "x-modelplane-http-status"},
            ],
        },
    )


def _buffer() -> Block:
    """Refuse bodies that are too large where a route says so; elsewhere it does nothing."""
    limit = {"max_request_bytes": MAX_ANONYMOUS_BODY_BYTES}
    return {**_filter(_BUFFER, "buffer.v3.Buffer", **limit), "disabled": True}


def _strangers() -> Block:
    text = Path(__file__).with_name("strangers.lua").read_text(encoding="utf-8")
    values = (NOT_SENT, SMALL_BODY_BYTES, STRANGERS_PER_SECOND, STRANGERS_AT_ONCE)
    return _filter(STRANGERS, "lua.v3.Lua", default_source_code={"inline_string": text % values})


def _reshape() -> Block:
    script = Path(__file__).with_name("reshape.lua").read_text(encoding="utf-8")
    return _filter(_RESHAPE, "lua.v3.Lua", default_source_code={"inline_string": script})


def scim_overrides() -> Block:
    """Return what differs on the routes of SCIM: names of fields, and the form of errors."""
    transcoder = _transcoding(_SCIM_SERVICES, preserve_proto_field_names=False)
    scim = _typed("lua.v3.LuaPerRoute", filter_context={"scim": True})
    return {_TRANSCODER: transcoder, _RESHAPE: scim}


def inference_overrides() -> Block:
    """Return what differs on the routes of queries: the form of errors, and who is asked."""
    inference = _typed("lua.v3.LuaPerRoute", filter_context={"inference": True})
    return {_RESHAPE: inference, **strangers("query")}


def oauth_overrides() -> Block:
    """Return what differs on the routes of OAuth: the form of errors, and small bodies."""
    oauth = _typed("lua.v3.LuaPerRoute", filter_context={"oauth": True})
    return {_RESHAPE: oauth, **login_overrides()}


def login_overrides() -> Block:
    """Return what differs where callers come to get a credential: they send little, and seldom."""
    limit = {"max_request_bytes": MAX_ANONYMOUS_BODY_BYTES}
    return {_BUFFER: _typed("buffer.v3.BufferPerRoute", buffer=limit), **strangers("login")}


def strangers(kind: str) -> Block:
    """Return how `strangers.lua` treats a route.

    Args:
        kind: `rest` or `grpc`: a call of the control plane; `query`: one that a worker answers;
            `login`: one without a credential.
    """
    return {STRANGERS: _typed("lua.v3.LuaPerRoute", filter_context={"kind": kind})}


def _transcoder() -> Block:
    return {
        "name": _TRANSCODER,
        "typed_config": _transcoding(_SERVICES, preserve_proto_field_names=True),
    }


def _transcoding(services: Sequence[str], *, preserve_proto_field_names: bool) -> Block:
    return _typed(
        "grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor_bin=public_descriptors(),
        services=services,
        print_options={
            "preserve_proto_field_names": preserve_proto_field_names,
            "always_print_primitive_fields": True,
        },
        # The route was chosen by the path of the caller; the gRPC path must not choose another.
        match_incoming_request_route=True,
        convert_grpc_status=True,
        # The control plane refuses them by name.
        ignore_unknown_query_parameters=True,
        # As clients write a space, which filters hold.
        query_param_unescape_plus=True,
        # Else `?name=` would win over the name in the path.
        ignored_query_parameters=path_parameters(),
        # Else a name in the body would win over the name in the path, which is what a log shows
        # and what a proxy in front may have judged.
        request_validation_options={
            "reject_unknown_method": True,
            "reject_binding_body_field_collisions": True,
        },
        max_request_body_size=MAX_BODY_BYTES,
        max_response_body_size=MAX_RESPONSE_BYTES,
    )


def _router() -> Block:
    return _filter(
        "envoy.filters.http.router",
        "router.v3.Router",
        suppress_envoy_headers=True,
        # Counts by status and times of what is behind Envoy, which its servers count themselves,
        # would be a twenty-fifth of all that it does for a query.
        dynamic_stats=False,
    )


def _filter(name: str, message: str, **settings: object) -> Block:
    return {"name": name, "typed_config": _typed(message, **settings)}


def _typed(message: str, **settings: object) -> Block:
    return {"@type": f"type.googleapis.com/envoy.extensions.filters.http.{message}", **settings}
