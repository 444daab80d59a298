"""The schemas of functions' arguments, as a service takes them; used by its adapter's tools.

`refusals.py` has what services refuse, `folding.py` folds what is combined.
"""

from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.schemas.folding import fold_root, inline_references
from modelplane.adapters.providers.schemas.json_schema import SchemaTooLarge, Words, map_schemas
from modelplane.adapters.providers.schemas.rules import SchemaRules
from modelplane.adapters.providers.types import JsonObject

NO_ARGUMENTS: JsonObject = {"type": "object", "properties": {}}
_COMBINED = frozenset({"anyOf", "oneOf", "allOf"})


def read_arguments(parameters: Parameters, schema: object, rules: SchemaRules) -> JsonObject:
    """Return the schema of a function's arguments: an object's, without what a service refuses.

    Args:
        parameters: Told of what is changed.
        schema: The function's `parameters`; what is empty takes no arguments.
        rules: What the service refuses.

    Raises:
        RequestRefused: It describes no object, or is too large.
    """
    if not schema:
        return NO_ARGUMENTS
    if not isinstance(schema, dict):
        raise parameters.refusal("The 'parameters' of a function must be a JSON schema.")
    try:
        folded = _fold(parameters, schema, rules)
    except (SchemaTooLarge, RecursionError):
        raise parameters.refusal("A schema in 'tools' is nested too deeply or too large.") from None
    if folded.get("type", "object") != "object":
        raise parameters.refusal("The 'parameters' of a function must describe an object.")
    return {"type": "object", **folded}


def split_root(schema: JsonObject, rules: SchemaRules, words: Words) -> tuple[JsonObject, object]:
    """Return a schema with the keywords that a service takes at the root, and the others in words.

    Args:
        schema: The schema of a function's arguments.
        rules: What the service refuses.
        words: Told of what is put in words.
    """
    if rules.root_keywords is None:
        return schema, None
    kept = {name: value for name, value in schema.items() if name in rules.root_keywords}
    beyond = {name: value for name, value in schema.items() if name not in rules.root_keywords}
    said = {"description": beyond.pop("description", None)}
    if isinstance(beyond.get("additionalProperties"), bool):
        del beyond["additionalProperties"]
    return kept, words.add(said, beyond)["description"]


def _fold(parameters: Parameters, schema: JsonObject, rules: SchemaRules) -> JsonObject:
    folded = schema
    only = rules.root_keywords if rules.root_keywords is not None else rules.keywords
    if _COMBINED & rules.refused_at_root or only is not None:
        folded = fold_root(schema)
    if folded is not schema and schema.keys() & _COMBINED:
        parameters.note("tools=union of arguments folded")
    if "$ref" in rules.refused:
        folded = inline_references(folded)
    return map_schemas(
        folded, lambda one: {name: one[name] for name in one if name not in rules.refused}
    )
