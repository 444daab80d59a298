"""The user interface on the public port: its pages, with what browsers are told about them.

Used by `routes.py` and `filters.py`. `control_plane/ui` answers with the files.
"""

from modelplane.deploy.envoy.clusters import CONTROL_PLANE, Block

PREFIX = "/ui"
_TIMEOUT = "60s"
_COMPRESSOR = "envoy.filters.http.compressor"
_COMPRESSORS = {"gzip": f"{_COMPRESSOR}.gzip", "brotli": f"{_COMPRESSOR}.brotli"}
# Nothing but the page's own files runs, is shown or is asked, and no page may show this one.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def build_compressors() -> list[Block]:
    """Return the filters that compress; they are off but on routes that have `compressed`."""
    return [_compressor(kind, name) for kind, name in _COMPRESSORS.items()]


def _compressor(kind: str, name: str) -> Block:
    library = f"type.googleapis.com/envoy.extensions.compression.{kind}.compressor.v3"
    return {
        "name": name,
        "disabled": True,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor",
            # Of those that a browser takes as well as the other, the one that compresses better.
            "choose_first": kind == "brotli",
            "compressor_library": {
                "name": kind,
                "typed_config": {"@type": f"{library}.{kind.capitalize()}"},
            },
        },
    }


def build_ui_routes(anonymous: Block) -> list[Block]:
    """Return the routes of the pages.

    Args:
        anonymous: What the filters do differently where callers are not known.
    """
    return [
        {
            "match": {"path": PREFIX},
            "redirect": {"path_redirect": f"{PREFIX}/"},
            "typed_per_filter_config": anonymous,
        },
        {
            "match": {
                "path_separated_prefix": PREFIX,
                "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
            },
            "route": {"cluster": CONTROL_PLANE, "timeout": _TIMEOUT},
            "response_headers_to_add": [*map(_always, PAGE_HEADERS.items()), _no_cache()],
            "typed_per_filter_config": anonymous | compressed(),
        },
    ]


def compressed() -> Block:
    """Return what a route has whose answers are compressed: texts and JSON, never streams."""
    on = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.compressor.v3"
        ".CompressorPerRoute",
        "overrides": {"response_direction_config": {}},
    }
    return dict.fromkeys(_COMPRESSORS.values(), on)


def _always(header: tuple[str, str]) -> Block:
    name, value = header
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _no_cache() -> Block:
    """Let no browser keep an error, which the control plane says nothing of."""
    return {
        "header": {"key": "cache-control", "value": "no-cache"},
        "append_action": "ADD_IF_ABSENT",
    }
