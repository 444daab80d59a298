"""JSON and YAML that users give: in a file, on standard input, or as an argument.

Before: `nouns`, `declared`.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.failures import WrongUsage

JSON_HELP = "file, - for standard input, or the JSON itself; files may be YAML"
# A management call takes no more.
MAX_BYTES = 4 * 1024 * 1024
# Deeper than anything that is meant.
MAX_DEPTH = 100


def read_json(given: str) -> Json:
    """Return the object that the argument `--json` names or is.

    Raises:
        WrongUsage: It cannot be read, or is no object.
    """
    inline = given.lstrip().startswith("{")
    if inline:
        place, text = "--json", given
    elif given == "-":
        place, text = "standard input", sys.stdin.read(MAX_BYTES + 1)
    else:
        # As curl and the mirrored product's command write it.
        place = given.removeprefix("@")
        text = read_text(Path(place))
    if len(text) > MAX_BYTES:
        raise WrongUsage(f"{place} has more than {MAX_BYTES >> 20} MiB")
    document = parse(text, place)
    if not isinstance(document, dict):
        raise WrongUsage(f"{place} is no JSON object")
    return document


def read_text(file: Path) -> str:
    """Return the content of a file.

    Raises:
        WrongUsage: It cannot be read, or is too large.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            text = stream.read(MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise WrongUsage(f"cannot read {file}: {reason}") from None
    if len(text) > MAX_BYTES:
        raise WrongUsage(f"{file} has more than {MAX_BYTES >> 20} MiB")
    return text


def parse(text: str, place: str) -> Any:  # noqa: ANN401 - JSON has any type
    """Return the one document of a text, JSON or YAML.

    Raises:
        WrongUsage: It is neither, or several.
    """
    documents = parse_all(text, place) or [None]
    if len(documents) > 1:
        raise WrongUsage(f"{place} holds {len(documents)} documents; give one")
    return documents[0]


def parse_all(text: str, place: str) -> list[Any]:
    """Return the documents of a text: one of JSON, or those of YAML.

    Raises:
        WrongUsage: It is neither, says something twice, or is nested too deeply.
    """
    try:
        documents = _parse_any(text, place)
    except RecursionError:
        raise WrongUsage(f"{place} is nested too deeply") from None
    for document in documents:
        _check(document, place, MAX_DEPTH)
    return documents


def _parse_any(text: str, place: str) -> list[Any]:
    if text.lstrip().startswith(("{", "[")):
        try:
            return [json.loads(text, object_pairs_hook=_object)]
        except _SaidTwice as error:
            raise WrongUsage(f"{place}: {error}") from None
        except ValueError as error:
            if place.endswith((".yaml", ".yml")):
                return _parse_yaml(text, place)
            raise WrongUsage(f"{place} is not JSON: {error}") from None
    return _parse_yaml(text, place)


def _parse_yaml(text: str, place: str) -> list[Any]:
    try:
        return list(yaml.load_all(text, Loader=_PlainLoader))
    except _SaidTwice as error:
        raise WrongUsage(f"{place}: {error}") from None
    # Python bounds the length of a number.
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise WrongUsage(f"{place} is not YAML: {reason}") from None


def _check(value: object, place: str, depth: int) -> None:
    """Check that JSON can say a value: YAML knows tags for more, such as sets and bytes."""
    if depth == 0:
        raise WrongUsage(f"{place} is nested too deeply")
    if not isinstance(value, dict | list | str | int | float | None):
        raise WrongUsage(f"{place} holds a {type(value).__name__}, which JSON cannot say")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        _check(item, place, depth - 1)


class _SaidTwice(ValueError):
    """An object has a name twice, of which only one could have an effect."""


def _object(members: Sequence[tuple[Any, Any]]) -> Json:
    found: Json = {}
    for name, value in members:
        if name in found:
            raise _SaidTwice(f"{name} is there twice in one object; keep one")
        found[name] = value
    return found


class _PlainLoader(yaml.SafeLoader):
    """Reads what JSON can say: no dates, and no aliases, which could multiply."""

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - as its parent
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read here; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - the same
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        _object([(name, None) for name in names])
        return super().construct_mapping(node, deep)


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
