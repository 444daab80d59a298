from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.data_plane.snapshots.routing import Deck, pick_by_key


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


SHARES = [("a", 50), ("b", 30), ("c", 20), ("d", 0)]


def test_keys_are_divided_by_share() -> None:
    dealt = Counter(pick_by_key(f"user-{number}", SHARES) for number in range(20_000))
    assert dealt[3] == 0
    for index, (_, weight) in enumerate(SHARES[:3]):
        assert dealt[index] / 20_000 == pytest.approx(weight / 100, abs=0.02)


@given(st.text(), st.permutations(range(4)))
def test_a_key_belongs_to_a_name_whatever_the_order(key: str, order: list[int]) -> None:
    shuffled = [SHARES[index] for index in order]
    assert shuffled[pick_by_key(key, shuffled)][0] == SHARES[pick_by_key(key, SHARES)][0]


def test_a_changed_share_moves_only_the_keys_that_it_must() -> None:
    changed = [("a", 60), ("b", 30), ("c", 10), ("d", 0)]
    keys = [f"user-{number}" for number in range(5000)]
    moved = [
        (pick_by_key(key, SHARES), pick_by_key(key, changed))
        for key in keys
        if pick_by_key(key, SHARES) != pick_by_key(key, changed)
    ]
    # Only from what lost a share, or to what gained one.
    assert all(old == 2 or new == 0 for old, new in moved)
    assert len(moved) / len(keys) < 0.2
