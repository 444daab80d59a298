"""What users give as JSON or YAML: nothing is ignored, and nothing ends in a traceback."""

import pytest

from modelplane.deploy.command.api.documents import MAX_DEPTH, parse, parse_all
from modelplane.deploy.command.api.failures import WrongUsage


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: x\n---\nname: y\n", "holds 2 documents"),
        ("name: x\nname: y\n", "name is there twice"),
        ("a: {b: {c: 1, c: 2}}\n", "c is there twice"),
        ('{"a": [{"b": 1, "b": 1}]}', "b is there twice"),
        ("a: !!set {b, c}\n", "holds a set"),
        ("a: !!binary aGk=\n", "holds a bytes"),
        ("a: [!!timestamp 2001-01-01]\n", "holds a date"),
        (f"a: {'9' * 5000}\n", "is not YAML"),
        (f'{{"a": {"9" * 5000}}}', "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested too deeply"),
        ("a: " + "[" * 900 + "]" * 900, "nested too deeply"),
        ("a: &b 1\nc: *b\n", "aliases are not read"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, reason: str) -> None:
    with pytest.raises(WrongUsage, match=reason):
        parse(text, "given")


def test_what_can_be_meant_is_read() -> None:
    text = "name: 2024-01-01\nconfig: {ok: true, of: [1, 2.5, null, ~, '']}\n"
    assert parse(text, "given") == {
        "name": "2024-01-01",
        "config": {"ok": True, "of": [1, 2.5, None, None, ""]},
    }
    assert parse_all("a: 1\n---\nb: 2\n", "given") == [{"a": 1}, {"b": 2}]
    assert parse("", "given") is None
