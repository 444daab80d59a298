"""Translates the parameters of a chat, beside messages and tools, for Anthropic's Messages API.

Called by `messages.py`; `complete.py` shares what both APIs have.

- `max_tokens` is required there: 4096 where the caller sets no limit.
- `temperature` ends at 1 there and is clamped. Newer models refuse some sampling parameters, or
  `temperature` beside `top_p`; they say so themselves.
- `reasoning_effort` becomes the effort of adaptive thinking; models up to 4.5 get a budget for
  thinking instead, which the output limit includes, as at OpenAI.
- `response_format` `json_schema` has its counterpart; `json_object` has none and is refused.
"""

import re
from collections.abc import Mapping, Sequence

from modelplane.adapters.providers.anthropic.tools import drop_identifiers
from modelplane.adapters.providers.canonical import read_stop, refuse_unsupported
from modelplane.adapters.providers.json_schema import is_object, map_schemas
from modelplane.adapters.providers.parameters import HARMLESS, Parameters
from modelplane.adapters.providers.types import JsonObject

DEFAULT_MAX_TOKENS = 4096
_MIN_BUDGET = 1024
_BUDGETS = {"low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768}
# All models up to 4.5; this list is closed.
_BUDGET_MODELS = re.compile(
    r"claude-(?:3-|(?:opus|sonnet|haiku)-4(?:-[015])?(?:[-@]20\d{6}|[-@:]v\d|$))"
)
_NO_THINKING = ("none", "minimal")
_OWN_SERVICE_TIERS = ("auto", "standard_only")
_HARMLESS = (*HARMLESS, "seed", "verbosity")
# Neither of the two APIs has these.
UNSUPPORTED: Mapping[str, Sequence[object]] = {
    "n": (1,),
    "logit_bias": ({},),
    "presence_penalty": (0, 0.0),
    "frequency_penalty": (0, 0.0),
}
_UNSUPPORTED = {
    **UNSUPPORTED,
    "logprobs": (False,),
    "top_logprobs": (0,),
    "audio": (),
    "modalities": (["text"],),
    "web_search_options": (),
}


def takes_budgets(model: str) -> bool:
    """Return whether a model thinks within a budget of tokens; newer ones take an effort."""
    return _BUDGET_MODELS.search(model) is not None


def translate_parameters(parameters: Parameters, body: JsonObject, *, budgets: bool) -> None:
    """Move the parameters that are not passed unchanged into a body.

    Args:
        parameters: Parameters of the query.
        body: The body to fill.
        budgets: As in `takes_budgets`.

    Raises:
        RequestRefused: One of them cannot be put to Claude.
    """
    refuse_unsupported(parameters.provider, parameters.rest, _UNSUPPORTED)
    body["max_tokens"] = take_max_tokens(parameters)
    translate_sampling(parameters, body)
    _translate_thinking(parameters, body, budgets=budgets)
    _translate_format(parameters, body)
    if parameters.rest.get("service_tier") in _OWN_SERVICE_TIERS:
        body["service_tier"] = parameters.take("service_tier")
    drop_harmless(parameters)


def take_max_tokens(parameters: Parameters) -> object:
    """Return the limit of the output; the newer of the two parameters wins."""
    newer, older = parameters.take("max_completion_tokens"), parameters.take("max_tokens")
    limit = older if newer is None else newer
    if limit is None:
        parameters.note(f"max_tokens=defaulted to {DEFAULT_MAX_TOKENS}")
        return DEFAULT_MAX_TOKENS
    return limit


def translate_sampling(parameters: Parameters, body: JsonObject) -> None:
    """Move stop texts, temperature and the user into a body.

    Raises:
        RequestRefused: One has a value that cannot be right.
    """
    stop = read_stop(parameters.provider, parameters.rest)
    parameters.take("stop")
    if kept := [text for text in stop if text.strip()]:
        body["stop_sequences"] = kept
    if len(kept) < len(stop):
        parameters.note("stop=blank texts dropped")
    parameters.clamp_temperature()
    user = parameters.take("user") or parameters.take("safety_identifier")
    if user:
        body["metadata"] = {"user_id": user}
    elif _is_own_metadata(parameters.rest.get("metadata")):
        body["metadata"] = parameters.take("metadata")


def drop_harmless(parameters: Parameters) -> None:
    """Drop what changes no answer."""
    if parameters.rest.get("store") is False:
        parameters.take("store")
    parameters.drop(*_HARMLESS)


def _is_own_metadata(metadata: object) -> bool:
    return isinstance(metadata, dict) and metadata.keys() == {"user_id"}


def _translate_thinking(parameters: Parameters, body: JsonObject, *, budgets: bool) -> None:
    effort = parameters.take("reasoning_effort")
    if effort is None:
        return
    if effort in _NO_THINKING or "thinking" in parameters.rest:
        parameters.note("reasoning_effort=dropped")
        return
    if not isinstance(effort, str) or effort not in _BUDGETS:
        raise parameters.refusal(
            "'reasoning_effort' must be none, minimal, low, medium, high or xhigh."
        )
    if not budgets:
        body["thinking"] = {"type": "adaptive"}
        _configure_output(parameters, body, {"effort": effort})
        return
    budget = _fit_budget(parameters, body, _BUDGETS[effort])
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    parameters.note(f"reasoning_effort=thinking budget of {budget}")


def _fit_budget(parameters: Parameters, body: JsonObject, budget: int) -> int:
    """Return a budget that leaves something of the output limit for the answer."""
    limit = body["max_tokens"]
    if f"max_tokens=defaulted to {DEFAULT_MAX_TOKENS}" in parameters.adapted:
        body["max_tokens"] = DEFAULT_MAX_TOKENS + budget
        return budget
    if not isinstance(limit, int) or budget < limit:
        return budget
    if limit <= _MIN_BUDGET:
        raise parameters.refusal(
            f"'reasoning_effort' needs 'max_tokens' above {_MIN_BUDGET}, which include the "
            "reasoning: raise it, or leave out 'reasoning_effort'."
        )
    return max(_MIN_BUDGET, limit // 2)


def _translate_format(parameters: Parameters, body: JsonObject) -> None:
    wanted = parameters.take("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if wanted is None or kind == "text":
        return
    given = wanted.get("json_schema") if isinstance(wanted, dict) else None
    schema = given.get("schema") if isinstance(given, dict) else None
    if kind != "json_schema" or not isinstance(schema, dict):
        raise parameters.refusal(
            "'response_format' must be of type text, or json_schema with a schema: Claude has no "
            "counterpart to json_object."
        )
    own = map_schemas(schema, drop_identifiers)
    closed = map_schemas(own, _close)
    if closed != own:
        parameters.note("response_format=additionalProperties set to false")
    _configure_output(parameters, body, {"format": {"type": "json_schema", "schema": closed}})


def _configure_output(parameters: Parameters, body: JsonObject, part: JsonObject) -> None:
    """Add to what the caller configured by the provider's own parameter."""
    given = parameters.take("output_config") or body.get("output_config")
    body["output_config"] = {**(given if isinstance(given, dict) else {}), **part}


def _close(schema: JsonObject) -> JsonObject:
    """Return an object's schema closed, which the API requires."""
    return {**schema, "additionalProperties": False} if is_object(schema) else schema
