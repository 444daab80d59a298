"""The public port: one for REST, server-sent events and gRPC.

Used by `config.py`; neighbours: `filters.py`, `routes.py`, `local_replies.py`.
"""

from modelplane.adapters.shared.rpc.metadata import HOPS
from modelplane.deploy.envoy.clusters import Block, build_address
from modelplane.deploy.envoy.filters import build_filters, remove, remove_all_but
from modelplane.deploy.envoy.local_replies import build_local_replies
from modelplane.deploy.envoy.options import EnvoyOptions
from modelplane.deploy.envoy.public_tls import build_public_tls
from modelplane.deploy.envoy.routes import build_route_config

# gRPC servers take 64 KiB of metadata (`adapters/shared/rpc/server.py`), of which Envoy adds some.
MAX_HEADERS_KIB = 48

# A request has so long to arrive whole: 16 MiB in it are 2.2 Mbit/s.
REQUEST_SECONDS = 60
# Until the first byte of a connection, or of its TLS; then until the headers are whole.
FIRST_BYTE_SECONDS = 10
HEADERS_SECONDS = 10
# Between two requests; proxies and pools that keep connections keep them for less.
IDLE_SECONDS = 600
# Of one HTTP/2 connection: RFC 9113, 5.1.2 recommends no fewer than 100.
MAX_STREAMS = 128
# Of one value in the log: what says more is the attacker's.
LOGGED_BYTES = 256

# What proxies tell of callers, and credentials that are not for this deployment: nothing behind
# Envoy may come to rely on them, or pass them on. Cookies go later (`session.py`).
_FOREIGN = (
    "forwarded",
    "x-forwarded",
    "x-real-ip",
    "x-remote-user",
    "x-remote-address",
    "proxy-authorization",
    "api-key",
    "x-amz-security-token",
)


def build_listener(options: EnvoyOptions) -> Block:
    """Return the listener of the public port."""
    chain: Block = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {"@type": _HTTP_CONNECTIONS, **_http_connections(options)},
            }
        ]
    }
    if options.tls:
        chain["transport_socket"] = build_public_tls(options.tls, options.sds)
        chain["transport_socket_connect_timeout"] = f"{FIRST_BYTE_SECONDS}s"
    return {
        "name": "public",
        "address": build_address(options.listen),
        # Two deployments would share the port silently.
        "enable_reuse_port": False,
        # Closes a connection that says nothing; `idle_timeout` is for those that have spoken.
        "listener_filters": [_first_bytes(tls=options.tls is not None)],
        "listener_filters_timeout": f"{FIRST_BYTE_SECONDS}s",
        "filter_chains": [chain],
    }


_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_HTTP_CONNECTIONS = (
    f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
)


def _first_bytes(*, tls: bool) -> Block:
    kind = "tls_inspector" if tls else "http_inspector"
    message = "TlsInspector" if tls else "HttpInspector"
    return {
        "name": f"envoy.filters.listener.{kind}",
        "typed_config": {"@type": f"{_EXTENSIONS}.filters.listener.{kind}.v3.{message}"},
    }


def _http_connections(options: EnvoyOptions) -> Block:
    return {
        "stat_prefix": "public",
        "codec_type": "AUTO",
        "route_config": build_route_config(options),
        "http_filters": build_filters(cors=bool(options.cors_origins), ui=not options.no_ui),
        "local_reply_config": build_local_replies(),
        "access_log": [_access_log()],
        **_paths(),
        **_client_headers(),
        "max_request_headers_kb": MAX_HEADERS_KIB,
        "request_headers_timeout": f"{HEADERS_SECONDS}s",
        "request_timeout": f"{REQUEST_SECONDS}s",
        # Time without a byte while a request arrives; routes set their own for what follows.
        "stream_idle_timeout": "60s",
        "common_http_protocol_options": {
            "idle_timeout": f"{IDLE_SECONDS}s",
            "headers_with_underscores_action": "ALLOW",
        },
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "modelplane"},
        "http2_protocol_options": {
            "max_concurrent_streams": MAX_STREAMS,
            "initial_stream_window_size": 1024 * 1024,
            "initial_connection_window_size": 16 * 1024 * 1024,
            "override_stream_error_on_invalid_http_message": True,
        },
    }


def _paths() -> Block:
    """One spelling per path, so that no trick reaches another route than it seems to."""
    return {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_trailing_host_dot": True,
    }


def _client_headers() -> Block:
    return {
        "early_header_mutation_extensions": [
            {
                "name": "envoy.http.early_header_mutation.header_mutation",
                "typed_config": {
                    "@type": f"{_EXTENSIONS}.http.early_header_mutation.header_mutation.v3"
                    ".HeaderMutation",
                    # Only this deployment itself may set these.
                    "mutations": [
                        # But for the count of gateways passed: forging that harms nobody else.
                        remove_all_but(HOPS, prefix="x-modelplane-"),
                        remove(prefix="x-forwarded-"),
                        remove(prefix="x-envoy-"),
                        *({"remove": name} for name in _FOREIGN),
                    ],
                },
            }
        ],
        "use_remote_address": True,
        "server_header_transformation": "PASS_THROUGH",
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": {
                "@type": f"{_EXTENSIONS}.request_id.uuid.v3.UuidRequestIdConfig",
                # The caller's id goes through unchanged.
                "pack_trace_reason": False,
            }
        },
    }


def _access_log() -> Block:
    """One JSON line per request: no query string, no credential, no body."""
    return {
        "name": "envoy.access_loggers.stdout",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {
                "json_format": {
                    "time": "%START_TIME%",
                    "method": f"%REQ(:METHOD):{LOGGED_BYTES}%",
                    "path": f"%PATH(NQ:ORIG_OR_PATH):{LOGGED_BYTES}%",
                    "status": "%RESPONSE_CODE%",
                    "details": "%RESPONSE_CODE_DETAILS%",
                    "flags": "%RESPONSE_FLAGS%",
                    "grpc_status": "%GRPC_STATUS_NUMBER%",
                    "request_id": f"%REQ(X-REQUEST-ID):{LOGGED_BYTES}%",
                    "bytes_received": "%BYTES_RECEIVED%",
                    "bytes_sent": "%BYTES_SENT%",
                    "duration_ms": "%DURATION%",
                    "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
                    "upstream": "%UPSTREAM_HOST%",
                    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                }
            },
        },
    }
