"""Numbers of bytes are read in any usual form, and written in one."""

import pytest

from modelplane.adapters.shared.byte_counts import in_words, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("512m", 512 << 20),
        ("16GiB", 16 << 30),
        (" 1.5 gb ", 3 << 29),
        ("2TiB", 2 << 40),
    ],
)
def test_a_text_means_bytes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize(
    "text", ["", "GiB", "-1", "1e9", "1PiB", "16 apples", "9" * 400, "9999999999TiB"]
)
def test_what_means_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no number of bytes; write it as 16GiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1 << 20, "1.0 MiB"), (3 << 29, "1.5 GiB")],
)
def test_a_person_reads_a_number_of_bytes(count: int, text: str) -> None:
    assert in_words(count) == text
