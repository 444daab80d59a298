"""Tools and the choice among them, in Gemini's form.

API: https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/function-calling. Used by
`request.py`; `schema.py` translates schemas.
"""

from collections.abc import Mapping, Sequence

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.canonical.tool_names import ToolNames, read_tool_names
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.schema import build_schema
from modelplane.adapters.providers.refusals import GEMINI, GEMINI_NAMES
from modelplane.adapters.providers.schemas.arguments import read_arguments
from modelplane.adapters.providers.schemas.json_schema import SchemaTooLarge, Words
from modelplane.adapters.providers.types import JsonObject, Query

_MODES: Mapping[str, str] = {"none": "NONE", "auto": "AUTO", "required": "ANY"}


def tool_names(query: Query) -> ToolNames:
    """Return the names of a query's tools, as Gemini accepts them."""
    return ToolNames(read_tool_names(query.body), GEMINI_NAMES)


def put_tools(body: JsonObject, parameters: Parameters, names: ToolNames) -> None:
    """Move the tools of a query into a request's body.

    Tools of Google's own, such as `{"googleSearch": {}}`, have no type and pass unchanged.

    Raises:
        RequestRefused: A tool or the choice cannot be understood.
    """
    tools, choice = parameters.take("tools"), parameters.take("tool_choice")
    parallel = parameters.take("parallel_tool_calls")
    if tools is not None and not isinstance(tools, list):
        raise parameters.refusal("'tools' must be a list.")
    if not tools:
        return
    declared = [_declaration(parameters, names, tool) for tool in tools if _is_function(tool)]
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        declared, choice = _allow(parameters, names, declared, choice)
    own = [tool for tool in tools if not _is_function(tool)]
    body["tools"] = [*([{"functionDeclarations": declared}] if declared else []), *own]
    if choice is not None:
        config = _calling_config(parameters, names, declared, choice)
        body["toolConfig"] = {"functionCallingConfig": config}
    if names.renamed:
        parameters.note("tools=renamed")
    if parallel is False:
        parameters.note("parallel_tool_calls=dropped")


def translate_schema(parameters: Parameters, schema: JsonObject, where: str) -> JsonObject:
    """Return a JSON Schema in Gemini's dialect.

    Args:
        parameters: Told of what the dialect cannot say.
        schema: The schema.
        where: The parameter that holds it.

    Raises:
        RequestRefused: It is nested too deeply, or too large.
    """
    words = Words()
    try:
        translated = build_schema(schema, words)
    except SchemaTooLarge:
        raise parameters.refusal(
            f"A schema in '{where}' is nested too deeply or too large."
        ) from None
    for note in words.notes(where):
        parameters.note(note)
    return translated


def _declaration(parameters: Parameters, names: ToolNames, tool: object) -> JsonObject:
    function = as_object(as_object(tool).get("function"))
    name = function.get("name")
    if not isinstance(name, str):
        raise parameters.refusal("Each of 'tools' must have a 'function' with a 'name'.")
    declaration: JsonObject = {"name": names.encode(name)}
    if function.get("description"):
        declaration["description"] = function["description"]
    if schema := as_object(function.get("parameters")):
        declaration["parameters"] = _parameters(parameters, schema)
        if declaration["parameters"] == {"type": "OBJECT"}:
            del declaration["parameters"]
    if function.get("strict"):
        parameters.note("tools.strict=dropped")
    return declaration


def _parameters(parameters: Parameters, schema: JsonObject) -> JsonObject:
    """Return the schema of a function's arguments."""
    arguments = read_arguments(parameters, schema, GEMINI)
    return translate_schema(parameters, arguments, "tools")


def _allow(
    parameters: Parameters, names: ToolNames, declared: list[JsonObject], choice: JsonObject
) -> tuple[list[JsonObject], object]:
    allowed = as_object(choice.get("allowed_tools"))
    wanted = [_name_of(names, tool) for tool in as_objects(allowed.get("tools"))]
    kept = [tool for tool in declared if tool["name"] in wanted]
    if not kept:
        raise parameters.refusal("'tool_choice.allowed_tools' names none of 'tools'.")
    return kept, allowed.get("mode", "auto")


def _calling_config(
    parameters: Parameters, names: ToolNames, declared: Sequence[JsonObject], choice: object
) -> JsonObject:
    if isinstance(choice, str) and choice in _MODES:
        return {"mode": _MODES[choice]}
    name = _name_of(names, choice)
    if name not in [tool["name"] for tool in declared]:
        raise parameters.refusal(
            "'tool_choice' must be none, auto or required, or name one of 'tools'."
        )
    return {"mode": "ANY", "allowedFunctionNames": [name]}


def _is_function(tool: object) -> bool:
    return not isinstance(tool, dict) or "type" in tool or "function" in tool


def _name_of(names: ToolNames, choice: object) -> str | None:
    """Return Gemini's form of the name that a choice holds, None where it holds none."""
    name = as_object(as_object(choice).get("function")).get("name")
    return names.encode(name) if isinstance(name, str) else None
