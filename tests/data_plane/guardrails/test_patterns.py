"""Operators' patterns: what they find, however a text is cut, and how long that takes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.patterns import Patterns
from modelplane.data_plane.guardrails.rule import Measure, Rule
from modelplane.data_plane.guardrails.scanner import Scanner
from tests.data_plane.guardrails.texts import read_whole

EXPRESSIONS = (
    r"EMP-[0-9]{4,6}",
    r"\b(?:ab|abcd){1,3}e?\b",
    r"x.{0,5}?y",
    r"[^a-z\s]{3}z",
    r"caf\u00e9s?",
)
MASKING = Rule("p", measure=Measure.MASK)
_ALPHABET = st.sampled_from((*"abcdexyz -019\u00e9\u00c9\n", "EMP-", "emp-12", "abcd", "\uff21"))


def detector(*expressions: str) -> tuple[Patterns]:
    return (Patterns(expressions or EXPRESSIONS, "PATTERN", MASKING),)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@given(text=st.lists(_ALPHABET, max_size=20).map("".join))
def test_they_match_what_python_says(expression: str, text: str) -> None:
    text = text.casefold()
    flags = re.IGNORECASE | re.ASCII | re.DOTALL
    expected = [match.span() for match in re.finditer(expression, text, flags)]
    if text.isascii():
        found = detector(expression)[0].find(text, 0)
        assert [(span.start, span.end) for span in found] == expected


@given(pieces=st.lists(st.lists(_ALPHABET, max_size=4).map("".join), max_size=14))
def test_a_stream_is_the_masked_whole(pieces: list[str]) -> None:
    detectors = detector()
    masked, found = read_whole(detectors, "".join(pieces))
    findings = Findings()
    scanner = Scanner(detectors, findings)
    left = [scanner.feed(piece) for piece in pieces]
    assert "".join(left) + scanner.feed("", final=True) == masked
    assert findings == found


def test_ordinary_prose_does_not_wait() -> None:
    scanner = Scanner(detector(r"EMP-[0-9]{4}"), Findings())
    assert scanner.feed("All is well. ") == "All is well. "
    assert scanner.feed("Ask em") == "Ask "
    assert scanner.feed("ily") == "emily"


def test_case_and_look_make_no_difference() -> None:
    assert read_whole(detector("EMP-[0-9]{2}"), "emp-12, \uff25MP\u2010\uff11\uff12")[0] == (
        "<PATTERN>, <PATTERN>"
    )


def test_what_would_be_catastrophic_elsewhere_is_linear() -> None:
    # Python's own engine needs 2**30 steps for this.
    [pattern] = detector(r"(?:a{1,30}){1,10}b")
    text = "a" * 20_000
    assert not pattern.find(text, 0)
    assert pattern.open_at(text, 0) > len(text) - 512
