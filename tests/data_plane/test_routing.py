from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_plane.routing import Deck


@st.composite
def splits(draw: st.DrawFn) -> list[int]:
    """Shares that sum to 100, zero among them."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), max_size=6)))
    return [b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True)]


@given(splits(), st.integers(), st.integers(0, 250))
def test_any_hundred_requests_in_a_row_split_exactly(
    weights: list[int], seed: int, skipped: int
) -> None:
    deck = Deck(weights, Random(seed))
    for _ in range(skipped):
        deck.deal()
    dealt = Counter(deck.deal() for _ in range(100))
    assert [dealt[index] for index in range(len(weights))] == weights


def test_workers_deal_in_different_orders() -> None:
    orders = set()
    for seed in range(5):
        deck = Deck([50, 50], Random(seed))
        orders.add(tuple(deck.deal() for _ in range(100)))
    assert len(orders) == 5


@pytest.mark.parametrize("weights", [[], [0], [0, 0]])
def test_someone_must_get_traffic(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="traffic"):
        Deck(weights, Random(1))
