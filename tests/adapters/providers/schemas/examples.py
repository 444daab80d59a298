"""JSON Schemas of every kind that callers send, and a validator of what they mean; for tests."""

from typing import Any

from hypothesis import strategies as st

TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")
_NAMES = st.sampled_from("abc")
_TEXT = st.sampled_from(["x", "some words"])
_ANNOTATIONS = {
    "title": _TEXT,
    "description": _TEXT,
    "default": st.sampled_from([None, 1, "x", []]),
    "$comment": _TEXT,
    "examples": st.just([1]),
}
_BOUNDS = {
    "minimum": st.integers(0, 2),
    "exclusiveMaximum": st.integers(3, 9),
    "multipleOf": st.just(1),
    "minLength": st.integers(0, 2),
    "maxLength": st.integers(2, 5),
    "pattern": st.sampled_from(["^x", "x"]),
    "format": st.sampled_from(["date-time", "email", "regex"]),
    "minItems": st.integers(0, 3),
    "maxItems": st.integers(1, 3),
    "uniqueItems": st.booleans(),
}
_VALUES = st.lists(
    st.sampled_from(["x", "y", 1, 1.5, True, None, {"a": 1}]), min_size=1, max_size=3
)


def _schemas(*references: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return schemas with such references in them."""
    leaves = st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(TYPES)
            | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
            "enum": _VALUES,
            "const": st.sampled_from(["x", 1, None]),
            **({"$ref": st.sampled_from(references)} if references else {}),
            **_ANNOTATIONS,
            **_BOUNDS,
        },
    )
    return st.recursive(leaves, _grow, max_leaves=8)


def _grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "object"]),
            "properties": st.dictionaries(_NAMES, inner, max_size=3),
            "required": st.lists(_NAMES, max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "items": inner | st.booleans(),
            "anyOf": some,
            "oneOf": some,
            "allOf": some,
            "not": inner,
            "$defs": st.fixed_dictionaries({"b": inner}),
            "$schema": st.just("https://json-schema.org/draft/2020-12/schema"),
            "$id": st.just("x"),
            **_ANNOTATIONS,
        },
    )


# With references of all kinds, to themselves too.
SCHEMAS = _schemas("#", "#/properties/a", "#/$defs/b", "other.json", "#/nowhere")
_OBJECT = {
    "type": st.just("object"),
    "required": st.lists(_NAMES, max_size=2, unique=True),
    "additionalProperties": st.booleans(),
    "description": _TEXT,
}


def _objects(inner: st.SearchStrategy[Any], **more: Any) -> st.SearchStrategy[dict[str, Any]]:
    properties = st.dictionaries(_NAMES, inner, max_size=3)
    optional = {**_OBJECT, "properties": properties}
    return st.fixed_dictionaries(
        more, optional={name: one for name, one in optional.items() if name not in more}
    )


_CLOSED = {"additionalProperties": st.sampled_from([False])}
_FORMS = _objects(_schemas("#/$defs/b"), **_CLOSED) | st.just({"$ref": "#/$defs/b"})
# What a form does not name is nothing there, though the schema may not say so: so it is meant.
_MEMBERS = st.lists(_FORMS, min_size=1, max_size=3) | st.lists(
    st.fixed_dictionaries({"required": st.lists(_NAMES, max_size=2, unique=True)}),
    min_size=1,
    max_size=3,
)
# A tool's arguments: an object, or a union of objects, perhaps behind a reference.
ARGUMENTS: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda own, more: {**own, **more},
    _objects(_schemas("#/$defs/b")),
    st.fixed_dictionaries(
        {"$defs": st.fixed_dictionaries({"b": _objects(_schemas(), **_CLOSED)})},
        optional={"anyOf": _MEMBERS, "oneOf": _MEMBERS, "allOf": _MEMBERS},
    ),
)
INSTANCES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(["x", "xyz", 1, 2.5, True, None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=4,
)


def accepts(root: Any, value: Any, schema: Any = None) -> bool:
    """Tell whether a schema takes a value, as far as folding is concerned: without bounds."""
    schema = root if schema is None else schema
    if not isinstance(schema, dict):
        return schema is not False

    def takes(part: Any, item: Any = value) -> bool:
        return accepts(root, item, part)

    definition = _definition(root, schema.get("$ref"))
    # Of the members of `oneOf` a caller means one; that several fit is no reason to refuse here.
    unions = [schema[name] for name in ("anyOf", "oneOf") if name in schema]
    return (
        (definition is None or takes(definition))
        and _has_type(value, schema.get("type"))
        and value in schema.get("enum", [value])
        and value == schema.get("const", value)
        and all(map(takes, schema.get("allOf", [])))
        and all(any(map(takes, members)) for members in unions)
        and _takes_members(schema, value, takes)
    )


def _takes_members(schema: dict[str, Any], value: Any, takes: Any) -> bool:
    if isinstance(value, list):
        return all(takes(schema.get("items", True), item) for item in value)
    if not isinstance(value, dict):
        return True
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties", True)
    needed = set(schema.get("required", []))
    return needed <= set(value) and all(
        takes(properties.get(name, others), item) for name, item in value.items()
    )


def _definition(root: Any, reference: Any) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    for part in reference.split("/")[1:]:
        root = root.get(part) if isinstance(root, dict) else None
    return root if isinstance(root, dict) else {}


def _has_type(value: Any, kind: Any) -> bool:
    kinds = kind if isinstance(kind, list) and kind else [kind]
    own = {
        str: ("string",),
        bool: ("boolean",),
        int: ("integer", "number"),
        float: ("number",),
        list: ("array",),
        dict: ("object",),
        type(None): ("null",),
    }
    return kinds == [None] or bool(set(own[type(value)]) & set(kinds)) or kinds == [[]]
