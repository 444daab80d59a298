"""Finds the configurations of external models in the product's documents, as they are printed.

`printed/` holds the passages of each document that have such examples, unchanged; the whole
document may stand there as well. An example is a JSON object, or a call of the MLflow client.
"""

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PRINTED = Path(__file__).parent / "printed"
# What the documents leave to the reader.
_BLANKS = {"<YOUR_AWS_REGION>": "us-east-1"}
_START = re.compile(r"client\.(?:create|update)_endpoint\(|^\{", re.MULTILINE)
_PAIRS = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Example:
    """One printed configuration.

    Attributes:
        document: Name of the document.
        endpoint: Name of the endpoint.
        body: Body of the request that creates the endpoint or, without `config`, updates it.
    """

    document: str
    endpoint: str
    body: dict[str, Any]

    @property
    def creates(self) -> bool:
        """Whether it creates the endpoint."""
        return "config" in self.body

    @property
    def served_entities(self) -> list[dict[str, Any]]:
        """The served entities."""
        entities: list[dict[str, Any]] = self.body.get("config", self.body)["served_entities"]
        return entities


def find_examples(document: str, text: str) -> Iterator[Example]:
    """Yield the configurations of external models in a document's text, in order."""
    for blank, value in _BLANKS.items():
        text = text.replace(blank, value)
    place = 0
    while start := _START.search(text, place):
        place = _end_of(text, start.end() - 1)
        printed = text[start.start() : place]
        # Answers of the service look like configurations, but know who made the endpoint.
        if '"external_model"' in printed and '"creator"' not in printed:
            yield _read(document, printed)


def printed_examples() -> list[Example]:
    """Return all examples."""
    return [
        example
        for path in sorted(PRINTED.glob("*.txt"))
        for example in find_examples(path.stem, path.read_text(encoding="utf-8"))
    ]


def _read(document: str, printed: str) -> Example:
    if printed.startswith("{"):
        body = json.loads(printed)
        return Example(document, body["name"], body)
    call = ast.parse(printed.strip(), mode="eval").body
    assert isinstance(call, ast.Call)
    given = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
    if "endpoint" in given:
        return Example(document, given["endpoint"], given["config"])
    return Example(document, given["name"], given)


def _end_of(text: str, start: int) -> int:
    """Return the place after the bracket that closes the one at `start`."""
    open_brackets: list[str] = []
    in_text = False
    for place in range(start, len(text)):
        letter = text[place]
        if letter == '"':
            in_text = not in_text
        elif not in_text and letter in _PAIRS:
            open_brackets.append(_PAIRS[letter])
        elif not in_text and open_brackets and letter == open_brackets[-1]:
            open_brackets.pop()
            if not open_brackets:
                return place + 1
    raise AssertionError("a bracket is not closed")
