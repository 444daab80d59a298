"""Texts in which there is something to find, and ways to cut them."""

from hypothesis import strategies as st

from modelplane.data_plane.guardrails.detector import Detector
from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.keywords import Keywords
from modelplane.data_plane.guardrails.pii import build_detectors
from modelplane.data_plane.guardrails.rule import Measure, Rule
from modelplane.data_plane.guardrails.scanner import Scanner, scan

PERSONAL = (
    ("john.smith@example.com", "EMAIL_ADDRESS"),
    ("4111 1111 1111 1111", "CREDIT_CARD"),
    ("378282246310005", "CREDIT_CARD"),
    ("536-22-1234", "US_SSN"),
    ("(415) 555-2671", "PHONE_NUMBER"),
    ("+44 20 7946 0958", "PHONE_NUMBER"),
    ("account 12345678", "US_BANK_NUMBER"),
)
WORDS = ("blue falcon", "Straße")
MASKING: tuple[Detector, ...] = tuple(build_detectors(Rule("pii", measure=Measure.MASK)))
BLOCKING: tuple[Detector, ...] = (
    *build_detectors(Rule("pii")),
    Keywords(WORDS, Rule("invalid_keywords", -1)),
)

# Pieces of what is looked for, and whatever may stand between them.
_PIECES = st.sampled_from(
    (
        *(text for text, _ in PERSONAL),
        *WORDS,
        *"@.-+ (), 4157\n",
        "acct ",
        "phone ",
        "x45",
        "00",
        "ssn ",
        "blue ",
        "STRASSE",
        "john",
        "\uff4a\uff4f",
        "\u200b",
        "\u2026",
        "\ufb01",
        "\u0430",
        "x" * 70,
        "4111 " * 9,
        "a.b" * 30,
    )
)
TEXTS = st.lists(_PIECES | st.text(max_size=4), max_size=14).map("".join)


@st.composite
def cuts(draw: st.DrawFn) -> list[str]:
    """Return a text in pieces."""
    text = draw(TEXTS)
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def read_whole(detectors: tuple[Detector, ...], text: str) -> tuple[str, Findings]:
    """Return what is left of a text, and what was found."""
    findings = Findings()
    return "".join(scan(detectors, findings, text)), findings


def read_pieces(detectors: tuple[Detector, ...], pieces: list[str]) -> tuple[list[str], Findings]:
    """Return what leaves of a text after each piece of it, and what was found."""
    findings = Findings()
    scanner = Scanner(detectors, findings)
    left = [scanner.feed(piece) for piece in pieces]
    return [*left, scanner.feed("", final=True)], findings
