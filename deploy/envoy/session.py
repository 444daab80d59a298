"""Sessions of browsers on the public port: their route, and the filter that reads their cookie.

Used by `routes.py` and `filters.py`. `control_plane/identity` begins and ends them.
"""

from pathlib import Path

from modelplane.control_plane.identity.session_cookie import LOOPBACK_NAME, SECURE_NAME
from modelplane.deploy.envoy.clusters import CONTROL_PLANE, Block
from modelplane.deploy.envoy.ui import compressed

FILTER = "session"
PATH = "/api/2.0/ui"
# Calls of who is not signed in yet.
SIGN_IN_PATH = f"{PATH}/sign-in"
# What the pages mark their calls with. A page of another origin cannot send it unasked.
MARK = "x-ui-session"
# Taken from every call before it leaves Envoy.
PRIVATE_HEADERS = ("cookie", MARK)
_LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3"
_GRPC_CONTENT = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}


def build_session_filter() -> Block:
    """Return the filter; it is off but on the route of `build_session_route`."""
    text = Path(__file__).with_name("session.lua").read_text(encoding="utf-8")
    script = text % (SECURE_NAME, LOOPBACK_NAME, MARK)
    return {
        "name": FILTER,
        "disabled": True,
        "typed_config": {"@type": f"{_LUA}.Lua", "default_source_code": {"inline_string": script}},
    }


def build_session_route() -> Block:
    """Return the route on which a call in a session stays until its cookie is read.

    Envoy chooses the filters of a call by its first route, so this one switches none off. The route
    that is chosen after that is the one of a script's call.
    """
    return {
        "match": {
            "safe_regex": {"regex": "/(api/2[.]0|serving-endpoints)(/.*)?"},
            "headers": [
                {"name": MARK, "string_match": {"exact": "1"}},
                {**_GRPC_CONTENT, "invert_match": True, "treat_missing_header_as_empty": True},
            ],
        },
        "route": {"cluster": CONTROL_PLANE},
        # No foreign page can cause an answer here, whose length would tell it of what is in there.
        "typed_per_filter_config": compressed()
        | {FILTER: {"@type": f"{_LUA}.LuaPerRoute", "filter_context": {}}},
    }
