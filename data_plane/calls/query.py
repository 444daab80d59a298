"""From the bytes of a request to a validated query: pure, and the only place that parses them.

Used by `invocation.py`. Only what would make the gateway itself misbehave is checked, by task in
`tasks.py`; every other field passes to the provider unchanged, which knows better what it accepts.
"""

import orjson

from modelplane.adapters.providers.types import JsonObject, Query
from modelplane.data_plane.calls.tasks import TaskSpec
from modelplane.data_plane.errors import InvalidParameter, MalformedRequest

# Fields of the gateway's own API; a strict provider would refuse them.
_OWN_FIELDS = frozenset(
    {"extra_params", "client_request_id", "usage_context", "databricks_options"}
)
# Texts, whatever they look like; other extra parameters that read as a number or a truth value
# become one, since the clients can only send texts there.
_TEXT_PARAMETERS = frozenset({"user", "stop", "suffix", "safety_identifier", "prompt_cache_key"})
# What a large body may have of values: to parse one more takes longer than to read it, and nothing
# else runs meanwhile. An honest one has a few, or a long list of tokens to embed.
MAX_VALUES = 500_000
_LARGE_BYTES = 128 * 1024
_SEPARATORS = b",[{"
_LITERALS = "-0123456789tf"


def parse_body(body: bytes | JsonObject) -> JsonObject:
    """Return the JSON object in `body`, which may be one already.

    Raises:
        MalformedRequest: It is no JSON, is nested too deeply, has too many values, or is not an
            object.
    """
    if isinstance(body, dict):
        return body
    if (values := count_values(body)) > MAX_VALUES:
        raise MalformedRequest(
            f"The request body has too many values: about {values:,}, where {MAX_VALUES:,} may "
            "be. Send fewer in one request."
        )
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The text of the error may not be shown in full: `doc` is the prompt.
        reason = f"{error.msg} (line {error.lineno} column {error.colno})"
        raise MalformedRequest(f"The request body is not valid JSON: {reason}.") from None
    if not isinstance(value, dict):
        raise MalformedRequest("The request body must be a JSON object.")
    return value


def count_values(body: bytes) -> int:
    """Return about how many values there are in JSON; 0: so few that it does not matter."""
    if len(body) <= _LARGE_BYTES:
        return 0
    # Those inside of texts are counted too; that is a fiftieth of the time of parsing.
    return len(body) - len(body.translate(None, _SEPARATORS))


def build_query(spec: TaskSpec, body: JsonObject) -> Query:
    """Return the query of a task in `body`, which it takes over.

    `extra_params` are merged into the body; a field of the body itself wins over one of them.

    Raises:
        InvalidParameter: A field that the task needs is missing, or has a value that cannot be
            right.
    """
    if not _OWN_FIELDS.isdisjoint(body):
        _merge_extra_params(body)
        for name in _OWN_FIELDS:
            body.pop(name, None)
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidParameter("'stream' must be true or false.")
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise InvalidParameter("'stream_options' must be an object.")
    spec.check(body)
    return Query(body, bool(stream))


def wants_usage(query: Query) -> bool | None:
    """Return whether the caller of a stream wants its usage; None: they do not say."""
    options = query.body.get("stream_options")
    wanted = options.get("include_usage") if isinstance(options, dict) else None
    return wanted if isinstance(wanted, bool) else None


def _merge_extra_params(body: JsonObject) -> None:
    extra = body.get("extra_params")
    if extra is None:
        return
    if not isinstance(extra, dict):
        raise InvalidParameter("'extra_params' must be an object.")
    for name, value in extra.items():
        if name not in body:
            body[name] = _typed(name, value)


def _typed(name: str, value: object) -> object:
    if not isinstance(value, str) or name in _TEXT_PARAMETERS or value[:1] not in _LITERALS:
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
