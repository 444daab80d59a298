"""Which served entity gets the next request: a pure weighted choice.

A deck holds one slot for each percent of traffic, shuffled once and dealt again and again, so the
shares of any hundred requests in a row are exact. Used by `snapshot.py`.
"""

from collections.abc import Sequence
from hashlib import blake2b
from math import inf, log
from random import Random


class Deck:
    """Deals indexes in proportion to their weights."""

    __slots__ = ("_next", "_slots")

    def __init__(self, weights: Sequence[int], random: Random) -> None:
        """Shuffle one slot for each unit of weight.

        Args:
            weights: Share of each index, at least 0; at least one is above 0.
            random: Source of the order.

        Raises:
            ValueError: No weight is above 0.
        """
        slots = [index for index, weight in enumerate(weights) for _ in range(weight)]
        if not slots:
            raise ValueError("no served entity gets traffic")
        # The slots are still in order. A worker holds many endpoints, most of them with one target.
        if slots[0] == slots[-1]:
            slots = slots[:1]
        else:
            random.shuffle(slots)
        self._slots = tuple(slots)
        self._next = 0

    def deal(self) -> int:
        """Return the index that gets the next request."""
        index = self._slots[self._next]
        self._next = (self._next + 1) % len(self._slots)
        return index


def pick_by_key(key: str, shares: Sequence[tuple[str, int]]) -> int:
    """Return the index that a key belongs to, the same on every worker.

    Weighted rendezvous hashing: when shares change, only the keys move that must. C. Schindelhauer
    and G. Schomaker, "Weighted Distributed Hash Tables", SPAA 2005.

    Args:
        key: Any text.
        shares: Name and weight of each index; at least one weight is above 0.
    """
    best, choice = inf, 0
    for index, (name, weight) in enumerate(shares):
        if weight:
            digest = blake2b(f"{name}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8)
            # Above 0 and below 1, so that its logarithm is finite and negative.
            point = (int.from_bytes(digest.digest(), "big") + 0.5) / 2**64
            distance = -log(point) / weight
            if distance < best:
                best, choice = distance, index
    return choice
