"""What counts as personal data, and what does not."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.data_plane.guardrails.pii.numbers import runs
from tests.data_plane.guardrails.texts import MASKING, PERSONAL, TEXTS, read_whole


@pytest.mark.parametrize(("text", "entity"), PERSONAL)
def test_each_kind_is_found(text: str, entity: str) -> None:
    _, found = read_whole(MASKING, f"see {text}.")
    assert found.entities == {entity: 1}


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("mailto:a.b+c@mail.example.co.uk?x", "EMAIL_ADDRESS"),
        ("'o'neil@example.org'", "EMAIL_ADDRESS"),
        ("<j\u00f6rg@example.de>", "EMAIL_ADDRESS"),
        ("4111111111111111", "CREDIT_CARD"),
        ("5105-1051-0510-5100", "CREDIT_CARD"),
        ("My SSN: 536221234", "US_SSN"),
        ("536.22.1234", "US_SSN"),
        ("call me at 4155552671", "PHONE_NUMBER"),
        ("+49 (30) 1234567", "PHONE_NUMBER"),
        ("415-555-2671", "PHONE_NUMBER"),
        ("415-555-2671x4587", "PHONE_NUMBER"),
        ("001-518-640-0854", "PHONE_NUMBER"),
        ("Phone:\n467 3395", "PHONE_NUMBER"),
        ("mobile: 0688 872 49 99", "PHONE_NUMBER"),
        ("my bank account number is 123456789012", "US_BANK_NUMBER"),
    ],
)
def test_forms_that_people_write(text: str, entity: str) -> None:
    _, found = read_whole(MASKING, text)
    assert found.entities == {entity: 1}


@pytest.mark.parametrize(
    "text",
    [
        "order 12345678901 of 2024-11-29, ticket 4155552671",
        "4111 1111 1111 1112",
        "000-12-3456 and 666-12-3456 and 900-12-3456 and 078-05-1120",
        "1700000000000 1732886400123",
        "version 1.24.3-20240101, 192.168.100.200:8080, 255.255.255.255",
        "sha 0x1234567890abcdef 3.14159265358979",
        "550e8400-e29b-41d4-a716-446655440000",
        "@app.route decorators, user@localhost, git@1.2.3",
        "account manager since 2019",
        "call me on 2024-05-12 or 12.05.2024",
        "order number 1234 5678, checksum 12345678, callbackid 12345678",
        "serial 0012345678901, offset +12345678",
        "x = 12345678 * 87654321",
    ],
)
def test_what_programs_and_orders_hold_is_no_person(text: str) -> None:
    assert read_whole(MASKING, text)[1].entities == {}


def test_a_number_is_named_by_words_right_before_it_alone() -> None:
    far = "my account, as I told you some weeks ago already, is not 12345678"
    assert read_whole(MASKING, far)[1].entities == {}


@given(TEXTS | st.text("07 (-.)x\u20ac\ud800", max_size=40), st.integers(0, 20))
def test_runs_of_digits_are_those_that_a_pattern_finds(text: str, begin: int) -> None:
    found = [match.span() for match in re.finditer("[0-9][0-9 ().-]{5,}", text[begin:])]
    assert [(start - begin, end - begin) for start, end in runs(text, begin)] == found
