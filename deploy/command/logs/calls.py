"""What a line of a log says of a call, in one form for all parts: pure.

Before: `command`. Each call is told by one part: a query by the worker that took it, a management
call by the control plane, and what neither has seen by Envoy, which refused it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

_WORKER = "modelplane.data_plane.access"
_CONTROL_PLANE = "modelplane.control_plane.interceptor"
_FIRST_FAILURE = 400
# What Envoy says of a call that it passed on, and of the question whether it is well.
_UNTOLD = ("via_upstream", "health_check")
# Words of Envoy's (https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/response_code_details)
# that are not plain by themselves.
_ENVOYS_WORDS = {
    "direct_response": "there is no such path",
    "early_grpc_json_transcode_failure": "there is no such path, or not with this method",
    "request_payload_too_large": "the body is too large",
    "overload": "Envoy has no room for it now",
    "no_healthy_upstream": "no part that answers it is up",
    # Of the script that lets no strangers' bodies in.
    "lua_response": "no token, or none that is accepted; or too much of callers who are not known",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that has ended.

    Attributes:
        time: When its line was written; as text, in UTC.
        status: HTTP status, or the name of gRPC's.
        failed: Whether it was not answered.
        ms: How long it took, milliseconds.
        what: The endpoint and its served entity, the RPC, or the path.
        who: The caller's name, or the address where no caller is known.
        words: Why it failed, else what it used.
        endpoint: Name of the endpoint, where it was a query of one.
        line: All that the log says of it.
    """

    time: str
    status: str
    failed: bool
    ms: float
    what: str
    who: str
    words: str
    endpoint: str
    line: Mapping[str, Any]

    @property
    def clock(self) -> str:
        """The time of day on this machine, with milliseconds."""
        local = datetime.fromisoformat(self.time).astimezone()
        return local.strftime("%H:%M:%S.%f")[:-3]


def parse_call(line: bytes) -> Call | None:
    """Return the call that a line tells of; None: it tells of something else."""
    try:
        fields = orjson.loads(line)
        if not isinstance(fields, dict):
            return None
        if fields.get("logger") == _WORKER:
            return _query(fields)
        if fields.get("logger") == _CONTROL_PLANE and "method" in fields:
            return _management(fields)
        if "details" in fields and not str(fields["details"]).startswith(_UNTOLD):
            return _refused(fields)
    except (ValueError, KeyError, TypeError):
        # A part that ends may leave half a line.
        pass
    return None


def _query(fields: Mapping[str, Any]) -> Call:
    status = int(fields["status"])
    endpoint = str(fields.get("endpoint", ""))
    entity = fields.get("served_entity")
    return Call(
        time=fields["time"],
        status=str(status),
        failed="error" in fields or status >= _FIRST_FAILURE,
        ms=float(fields["duration_ms"]),
        what=f"{endpoint}/{entity}" if entity else endpoint,
        who=str(fields.get("principal", "")),
        words=str(fields.get("reason") or fields.get("error") or _use(fields)),
        endpoint=endpoint,
        line=fields,
    )


def _use(fields: Mapping[str, Any]) -> str:
    if "input_tokens" not in fields:
        return ""
    return f"{fields['input_tokens'] or 0}+{fields.get('output_tokens') or 0} tokens"


def _management(fields: Mapping[str, Any]) -> Call:
    status = str(fields["status"])
    return Call(
        time=fields["time"],
        status=status,
        failed=status != "OK",
        ms=float(fields["ms"]),
        what=str(fields["method"]),
        who=str(fields.get("principal", "")),
        words=str(fields.get("reason", "")),
        endpoint="",
        line=fields,
    )


def _refused(fields: Mapping[str, Any]) -> Call:
    status = int(fields["status"])
    details, _, _ = str(fields["details"]).partition("{")
    failed = status >= _FIRST_FAILURE or status == 0
    words = _ENVOYS_WORDS.get(details, details.replace("_", " ")) if failed else ""
    return Call(
        time=fields["time"],
        status=str(status),
        failed=failed,
        ms=float(fields["duration_ms"]),
        what=f"{fields['method']} {fields['path']}",
        who=str(fields.get("client") or "").rpartition(":")[0],
        words=words,
        endpoint="",
        line=fields,
    )
