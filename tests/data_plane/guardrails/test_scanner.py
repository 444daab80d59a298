"""A text is read the same however it is cut, and lets go of nothing that is looked for."""

import pytest
from hypothesis import given

from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.scanner import PIECE_CHARACTERS, Scanner
from tests.data_plane.guardrails.texts import (
    BLOCKING,
    MASKING,
    PERSONAL,
    cuts,
    read_pieces,
    read_whole,
)


@given(cuts())
def test_a_text_is_read_the_same_however_it_is_cut(pieces: list[str]) -> None:
    text = "".join(pieces)
    left, found = read_pieces(BLOCKING, pieces)
    assert ("".join(left), found) == read_whole(BLOCKING, text)


@pytest.mark.parametrize(("entity", "name"), PERSONAL)
def test_every_cut_in_two_hides_an_entity(entity: str, name: str) -> None:
    text = f"Hello, it is {entity}, they say"
    for place in range(len(text) + 1):
        left, found = read_pieces(MASKING, [text[:place], text[place:]])
        whole = text.replace(entity.removeprefix("account "), f"<{name}>")
        assert "".join(left) == whole
        assert found.entities == {name: 1}


@pytest.mark.parametrize("entity", [*(text for text, _ in PERSONAL), "BLUE Falcon", "stra\u00dfe"])
def test_nothing_of_an_entity_leaves_one_character_at_a_time(entity: str) -> None:
    before = "It says, "
    left, found = read_pieces(BLOCKING, list(before + entity + " and"))
    assert found.blocked
    kept = before + entity[: entity.index("1")] if entity.startswith("account") else before
    assert "".join(left).startswith(f"{kept}<")
    assert not "".join(left[: len(before + entity)]).removeprefix(kept)


def test_prose_waits_for_the_current_word_alone() -> None:
    text = "The quick brown fox, jumps over 2 lazy (very lazy) dogs. So it goes on"
    left, _ = read_pieces(BLOCKING, list(text))
    sent = ""
    for count, piece in enumerate(left[:-1], 1):
        sent += piece
        waiting = text[len(sent) : count]
        assert " " not in waiting.rstrip() or waiting[0].isdigit()


def test_a_candidate_of_several_words_waits_as_long_as_it_is_one() -> None:
    left, found = read_pieces(BLOCKING, ["a blue ", "falc", "ulator "])
    assert left == ["a ", "", "blue falculator ", ""]
    assert not found.entities


def test_a_long_text_is_read_in_pieces() -> None:
    card = "4111 1111 1111 1111"
    text = "x" * (PIECE_CHARACTERS - 10) + " " + card + " " + "y" * PIECE_CHARACTERS
    left, found = read_whole(MASKING, text)
    assert left == text.replace(card, "<CREDIT_CARD>")
    assert found.entities == {"CREDIT_CARD": 1}


def test_what_cannot_be_seen_is_not_held_for_ever() -> None:
    findings = Findings()
    scanner = Scanner(MASKING, findings)
    pieces = ["Ask john", *("\u200b" * 1000 for _ in range(100)), "@example.com!"]
    left = [scanner.feed(piece) for piece in pieces]
    assert left[0] == "Ask "
    assert not any(left[1:-1])
    assert len(scanner.held) < 5000
    assert left[-1] == "<EMAIL_ADDRESS>!"


@pytest.mark.parametrize(
    "text",
    [
        "jo\u200bhn@example.com",
        "\uff4aohn\uff20example.com",
        "john@ex\u0430mple.com",
        "4111\u00a01111\u20111111\u20131111",
        "\u0664111 1111 1111 1111",
    ],
)
def test_other_spellings_are_found_too(text: str) -> None:
    left, found = read_whole(MASKING, f"It is {text}!")
    assert found.entities.total() == 1
    assert left.startswith("It is <")
    assert left.endswith(">!")
