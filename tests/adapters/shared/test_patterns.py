"""Which regular expressions are taken, and what is said of the others."""

import pytest

from modelplane.adapters.shared.patterns import PatternRefused, compile_patterns


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("(", "cannot be read"),
        ("a+", "repeats without a bound"),
        ("(a*)*b", "repeats without a bound"),
        ("a{600}", "too often"),
        ("(?:[ab]{100}){100}", "more than 512 characters"),
        ("a?", "matches nothing"),
        ("", "matches nothing"),
        (r"(?<=x)a", "looks ahead or behind"),
        ("a(?!b)", "looks ahead or behind"),
        (r"(a)\1", "refers to a group"),
        ("a++", "possessive"),
        ("(?>a)", "atomic"),
        ("^a", "anchor"),
        ("(?i)a", "has flags"),
        ("(?i:a)", "flags of a group"),
        ("x" * 1_001, "1001 characters"),
        (f"{'(' * 300}a{')' * 300}", "more than 50 groups"),
        ("a{99999999999}", "too large"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(PatternRefused, match=reason):
        compile_patterns([expression])


def test_what_is_too_large_together_is_refused() -> None:
    large = [rf"[\w{chr(code)}]{{400}}" for code in range(0x3B1, 0x3B1 + 50)]
    with pytest.raises(PatternRefused, match="too large"):
        compile_patterns(large)


@pytest.mark.parametrize(
    ("expression", "text", "open_from"),
    [
        ("abc", "x ab", 2),
        ("abc", "x abd", 5),
        ("ab|cde", "xcd", 1),
        (r"[0-9]{2,4}x?", "a 123", 2),
        (r"(?:ab){1,3}c", "ababa", 0),
        (r"a.{0,3}b", "zaxx", 1),
        (r"\bcat", "a cat", 2),
    ],
)
def test_a_beginning_is_told(expression: str, text: str, open_from: int) -> None:
    match = compile_patterns([expression]).beginning.search(text, 0)
    assert match is not None
    assert match.start() == open_from
