"""Which pages of the web may call the public port: none, unless the operator names their origins.

Used by `filters.py` and `routes.py`. Tokens are sent in a header that no page sends by itself, so
an origin that is allowed gets nothing that it has no token for.
"""

from collections.abc import Sequence

from modelplane.deploy.envoy.clusters import Block

CORS = "envoy.filters.http.cors"
ANY = "*"
_TYPES = "type.googleapis.com/envoy.extensions.filters.http.cors.v3"
_MAX_AGE_SECONDS = 3600


def build_cors() -> Block:
    """Return the filter, which does nothing where no policy says so."""
    return {"name": CORS, "typed_config": {"@type": f"{_TYPES}.Cors"}}


def build_cors_policy(origins: Sequence[str]) -> Block:
    """Return what the pages of these origins may do."""
    return {
        "@type": f"{_TYPES}.CorsPolicy",
        "allow_origin_string_match": [
            {"safe_regex": {"regex": ".*"}} if origin == ANY else {"exact": origin}
            for origin in origins
        ],
        "allow_methods": "GET, POST, PUT, PATCH, DELETE",
        # Browsers do not take the star for this one.
        "allow_headers": "authorization, *",
        "expose_headers": "*",
        "max_age": str(_MAX_AGE_SECONDS),
        "allow_credentials": False,
    }
