"""How often personal data is found in texts that name nobody; `docs/guardrails.md` says it, too."""

from collections import Counter

import pytest

from modelplane.data_plane.guardrails.scanner import find_all
from tests.data_plane.guardrails.harmless import LINES, lines_of
from tests.data_plane.guardrails.texts import MASKING


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        # The check digit of a card is that of one number in ten.
        ("order numbers", {"CREDIT_CARD": 176}),
        # The number of a cloud's account, and one on the line below it.
        ("configuration", {"US_BANK_NUMBER": 1_666}),
        # What `git clone` is given has the form of an address.
        ("source code", {"EMAIL_ADDRESS": 833}),
    ],
)
def test_texts_that_name_nobody(kind: str, counts: dict[str, int]) -> None:
    lines = list(lines_of(kind))
    assert len(lines) == LINES
    found = Counter(span.entity for span in find_all(MASKING, "\n".join(lines)))
    assert found == counts
