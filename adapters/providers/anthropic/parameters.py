"""Translates the parameters of a chat, beside messages and tools, for Anthropic's Messages API.

Called by `messages.py`; `complete.py` shares what both APIs have.

- `max_tokens` is required there: 4096 where the caller sets no limit.
- `temperature` ends at 1 there and is clamped. Newer models take no sampling parameters, or only
  one of them, and none of them thinks with any: what they do not take is dropped.
- `reasoning_effort` becomes the effort of adaptive thinking; models up to 4.5 get a budget for
  thinking instead, which the output limit includes, as at OpenAI.
- Claude does not think while a tool is forced, nor within a budget when the thoughts that led to
  the last calls are not there, as with clients that keep only OpenAI's fields: then it goes on
  without thinking.
- `response_format` `json_schema` has its counterpart; `json_object` has none and is refused.
"""

from collections.abc import Mapping, Sequence

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.canonical.parameters import (
    HARMLESS,
    Parameters,
    read_stop,
    refuse_unsupported,
)
from modelplane.adapters.providers.refusals import CLAUDE_RANGES, CLAUDE_STRICT, ClaudeModel
from modelplane.adapters.providers.schemas.fitting import SchemaUnfit, fit_schema, opens
from modelplane.adapters.providers.schemas.json_schema import Words
from modelplane.adapters.providers.types import JsonObject

DEFAULT_MAX_TOKENS = 4096
_DEFAULTED = f"max_tokens=defaulted to {DEFAULT_MAX_TOKENS}"
# Why thinking is left out of a turn in which Claude would refuse it.
FORCED = "a tool is forced"
LOST_THOUGHTS = "the thoughts before are not in the messages"
NO_THOUGHTS = "the model does not think"
NO_EFFORT = "the model thinks within a budget only"
_MIN_BUDGET = 1024
_BUDGETS = {"low": 1024, "medium": 4096, "high": 16384, "xhigh": 32768}
_NO_THINKING = ("none", "minimal")
_THINKS = ("enabled", "adaptive")
_SAMPLERS = ("temperature", "top_p", "top_k")
_LEAST_TOP_P_BESIDE_THINKING = 0.95
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


def translate_parameters(parameters: Parameters, body: JsonObject, model: ClaudeModel) -> None:
    """Move the parameters that are not passed unchanged into a body.

    Args:
        parameters: Parameters of the query.
        body: The body to fill, which has its messages and tools already.
        model: What the model takes.

    Raises:
        RequestRefused: One of them cannot be put to Claude.
    """
    refuse_unsupported(parameters.provider, parameters.rest, _UNSUPPORTED)
    parameters.fit(CLAUDE_RANGES)
    body["max_tokens"] = take_max_tokens(parameters)
    translate_sampling(parameters, body)
    fit_samplers(parameters, model)
    _translate_thinking(parameters, body, model)
    _translate_format(parameters, body)
    if parameters.rest.get("service_tier") in _OWN_SERVICE_TIERS:
        body["service_tier"] = parameters.take("service_tier")
    drop_harmless(parameters)


def take_max_tokens(parameters: Parameters) -> object:
    """Return the limit of the output; the newer of the two parameters wins."""
    newer, older = parameters.take("max_completion_tokens"), parameters.take("max_tokens")
    limit = older if newer is None else newer
    if limit is None:
        parameters.note(_DEFAULTED)
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


def fit_samplers(parameters: Parameters, model: ClaudeModel) -> None:
    """Drop the sampling parameters that a model does not take, or not together."""
    if model.samplers == 0:
        parameters.drop(*_SAMPLERS)
    elif model.samplers == 1 and "temperature" in parameters.rest and "top_p" in parameters.rest:
        parameters.drop("top_p")


def read_thinking(parameters: Parameters, model: ClaudeModel) -> object:
    """Return the type of the caller's own `thinking`, made one that the model takes."""
    kind = as_object(parameters.rest.get("thinking")).get("type")
    if kind not in _THINKS or kind in model.thinking:
        return kind
    if kind == "enabled" and model.thinking:
        parameters.rest["thinking"] = {"type": "adaptive"}
        parameters.note("thinking=adaptive instead of a budget")
        return "adaptive"
    parameters.take("thinking")
    parameters.note(f"thinking=dropped: {NO_EFFORT if model.thinking else NO_THOUGHTS}")
    return None


def drop_beside_thinking(parameters: Parameters) -> None:
    """Drop the sampling parameters with which no Claude thinks."""
    if parameters.rest.get("temperature") != 1:
        parameters.drop("temperature")
    top_p = parameters.rest.get("top_p")
    if not isinstance(top_p, int | float) or top_p < _LEAST_TOP_P_BESIDE_THINKING:
        parameters.drop("top_p")
    parameters.drop("top_k")


def _translate_thinking(parameters: Parameters, body: JsonObject, model: ClaudeModel) -> None:
    effort = _take_effort(parameters)
    kind = read_thinking(parameters, model)
    if effort and not model.thinking:
        parameters.note(f"reasoning_effort=dropped: {NO_THOUGHTS}")
        return
    if effort:
        kind = "enabled" if model.budgets else "adaptive"
    if kind not in _THINKS:
        return
    if reason := _why_not_to_think(body, manual=kind == "enabled"):
        parameters.take("thinking")
        parameters.note(f"{'reasoning_effort' if effort else 'thinking'}=dropped: {reason}")
        return
    drop_beside_thinking(parameters)
    if not effort:
        _make_room(parameters, body)
    elif model.budgets:
        budget = _fit_budget(parameters, body, _BUDGETS[effort])
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        parameters.note(f"reasoning_effort=thinking budget of {budget}")
    else:
        body["thinking"] = {"type": "adaptive"}
        _configure_output(parameters, body, {"effort": effort})


def _take_effort(parameters: Parameters) -> str:
    """Take `reasoning_effort` and return it; empty where it asks for nothing."""
    effort = parameters.take("reasoning_effort")
    if effort is None:
        return ""
    if effort in _NO_THINKING or "thinking" in parameters.rest:
        parameters.note("reasoning_effort=dropped")
        return ""
    if not isinstance(effort, str) or effort not in _BUDGETS:
        raise parameters.refusal(
            "'reasoning_effort' must be none, minimal, low, medium, high or xhigh."
        )
    return effort


def _why_not_to_think(body: JsonObject, *, manual: bool) -> str:
    """Return why the API would refuse thinking in this turn; empty where it would not.

    Args:
        body: The body, with its messages and the choice among tools.
        manual: Whether it is thinking within a budget, which goes on from the thoughts before.
    """
    if as_object(body.get("tool_choice")).get("type") in ("any", "tool"):
        return FORCED
    messages = as_objects(body.get("messages"))
    said = [index for index, one in enumerate(messages) if one.get("role") == "assistant"]
    if not manual or not said:
        return ""
    blocks = as_objects(messages[said[-1]].get("content"))
    called = any(block.get("type") == "tool_use" for block in blocks)
    if not called and said[-1] < len(messages) - 1:
        return ""
    begins = blocks[0].get("type") if blocks else "text"
    return "" if begins in ("thinking", "redacted_thinking") else LOST_THOUGHTS


def _make_room(parameters: Parameters, body: JsonObject) -> None:
    """Raise the limit that nobody asked for above the caller's own budget."""
    budget = as_object(parameters.rest.get("thinking")).get("budget_tokens")
    if _DEFAULTED in parameters.adapted and isinstance(budget, int):
        body["max_tokens"] = DEFAULT_MAX_TOKENS + budget


def _fit_budget(parameters: Parameters, body: JsonObject, budget: int) -> int:
    """Return a budget that leaves something of the output limit for the answer."""
    limit = body["max_tokens"]
    if _DEFAULTED in parameters.adapted:
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
    words = Words()
    try:
        fitted = fit_schema(schema, CLAUDE_STRICT, words)
    except SchemaUnfit as reason:
        raise parameters.refusal(
            f"Claude does not take the schema in 'response_format': {reason}."
        ) from None
    if opens(schema):
        parameters.note("response_format=additionalProperties set to false")
    for note in words.notes("response_format"):
        parameters.note(note)
    _configure_output(parameters, body, {"format": {"type": "json_schema", "schema": fitted}})


def _configure_output(parameters: Parameters, body: JsonObject, part: JsonObject) -> None:
    """Add to what the caller configured by the provider's own parameter."""
    given = parameters.take("output_config") or body.get("output_config")
    body["output_config"] = {**(given if isinstance(given, dict) else {}), **part}
