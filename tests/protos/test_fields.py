"""Every public field has an effect that a test shows, or is refused, told, or ignored for a reason.

A new field fails here until `effects` or the protos say what it does.
"""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from google.api import annotations_pb2

from tests.e2e.permission_routes import public_methods
from tests.protos.effects import EFFECTS, IGNORED
from tests.protos.kinds import (
    HOSTED,
    READ_ELSEWHERE,
    SHOWN_AT_ONCE,
    TOLD_ELSEWHERE,
    UNTOLD,
    output_fields,
)
from tests.protos.messages import (
    all_messages,
    answers,
    is_available,
    is_typed,
    name_of,
    reads,
    requests,
)

ROOT = Path(__file__).parent.parent.parent
FIELDS = {name_of(field): field for one in all_messages().values() for field in one.fields}
EFFECTS_BY_FIELD = [
    (f"{message}.{name}", test)
    for test, messages in EFFECTS.items()
    for message, names in messages.items()
    for name in names.split()
]


def kinds() -> dict[str, set[str]]:
    """Return the fields of each kind."""
    reached = {
        name_of(field)
        for message in {**requests(), **answers()}.values()
        for field in message.fields
        if is_available(field)
    }
    parameters = {name_of(field) for method in reads() for field in method.input_type.fields}
    return {
        "not available": set(FIELDS) - reached,
        "of hosted models": set(HOSTED),
        "typed": {name for name, field in FIELDS.items() if is_typed(field)},
        "parameter of a read": (parameters & reached) - set(IGNORED),
        "told": output_fields(),
        "effect": {name for name, _ in EFFECTS_BY_FIELD},
        "ignored": set(IGNORED),
    }


def test_every_field_has_one_kind() -> None:
    found = Counter(name for names in kinds().values() for name in names)
    assert set(FIELDS) - set(found) == set(), "say in `effects` what these do, or refuse them"
    assert set(found) - set(FIELDS) == set(), "there are no such fields"
    assert {name: count for name, count in found.items() if count > 1} == {}
    assert len(kinds()["effect"]) == len(EFFECTS_BY_FIELD), "a field is named twice"


def test_there_are_fields_of_each_kind() -> None:
    assert {kind for kind, names in kinds().items() if not names} == set()
    assert len(FIELDS) > 700


@pytest.mark.parametrize(
    "test",
    sorted(
        {
            *EFFECTS,
            *TOLD_ELSEWHERE.values(),
            *UNTOLD.values(),
            *READ_ELSEWHERE.values(),
            *SHOWN_AT_ONCE,
        }
    ),
)
def test_the_tests_that_are_named_exist(test: str) -> None:
    path, _, name = test.partition("::")
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    body = ast.parse((ROOT / path).read_text()).body
    assert name in {node.name for node in body if isinstance(node, functions)}


def unnamed() -> set[str]:
    """Return the fields that have no name over REST: parts of a path, and whole bodies."""
    found = set()
    for method in public_methods():
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        if pattern := rule.WhichOneof("pattern"):
            names = {rule.body, *re.findall(r"{(\w+)", getattr(rule, pattern))}
            found |= {f"{method.input_type.name}.{name}" for name in names}
    return found


@pytest.mark.parametrize(
    ("field", "test"), [(name, test) for name, test in EFFECTS_BY_FIELD if name not in unnamed()]
)
def test_the_test_of_a_field_speaks_of_it(field: str, test: str) -> None:
    """A weak check, of the test's file and of those of this suite that it imports."""
    spoken = FIELDS[field]
    names = (spoken.name.removesuffix("_plaintext"), spoken.json_name)
    assert any(name in _text(test.partition("::")[0]) for name in names)


@cache
def _text(path: str) -> str:
    own = (ROOT / path).read_text()
    imported = re.findall(r"^from (tests[.\w]*) import", own, re.MULTILINE)
    files = [ROOT.joinpath(*module.split(".")).with_suffix(".py") for module in imported]
    return own + "".join(file.read_text() for file in files if file.exists())


def test_what_is_ignored_is_documented() -> None:
    for name, reason in IGNORED.items():
        assert reason
        assert FIELDS[name]
    page = (ROOT / "docs" / "api.md").read_text()
    assert {name for name in IGNORED if f"`{name.split('.')[1]}`" not in page} == set()
