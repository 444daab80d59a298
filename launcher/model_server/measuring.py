"""How many tokens a second a loaded model does while all its slots are full.

Measured before the model takes requests, so that nothing disturbs it, and only where its throughput
is provisioned: that comes in steps of what one process does.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import Callable

# Takes tokens as they come, and tells whether that is enough.
Count = Callable[[int], bool]
# Asks a model the question of a number; each is another, so that no answer is kept from before.
Burden = Callable[[int, Count], None]
# What the first questions have to bring into memory is not counted.
_WARMING = 0.2
_WORDS = 24
_TEXT = "Tell what happened on day %d of a long journey over land and sea to a far away country. "


def measure(burden: Burden, concurrency: int, seconds: float) -> float:
    """Return tokens per second, those of questions and those of answers.

    Args:
        burden: Asks the model.
        concurrency: Questions at a time.
        seconds: How long it takes, but for the last questions.

    Raises:
        Exception: A question failed.
    """
    run = _Run(burden, concurrency, seconds)
    threads = [
        threading.Thread(target=run.ask_on, args=(place,), daemon=True)
        for place in range(concurrency)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if run.failure is not None:
        raise run.failure
    return sum(run.counts) / (run.end - run.counted_from)


class _Run:
    """One measurement, in as many threads as there are slots."""

    def __init__(self, burden: Burden, concurrency: int, seconds: float) -> None:
        begun = time.monotonic()
        self.counted_from = begun + seconds * _WARMING
        self.end = begun + seconds
        # By thread: none waits for another.
        self.counts = [0] * concurrency
        self.failure: Exception | None = None
        self._burden = burden

    def ask_on(self, place: int) -> None:
        """Ask until the time is over, in the slot of a place."""
        number = place
        try:
            while not self._is_over():
                self._burden(number, functools.partial(self._count, place))
                number += len(self.counts)
        except Exception as error:
            self.failure = error

    def _count(self, place: int, tokens: int) -> bool:
        if self.counted_from <= time.monotonic() < self.end:
            self.counts[place] += tokens
        return self._is_over()

    def _is_over(self) -> bool:
        return self.failure is not None or time.monotonic() >= self.end


def question(number: int, most_tokens: int) -> str:
    """Return the text of a number, which has fewer tokens than `most_tokens`, roughly."""
    text = _TEXT % number
    # A word is seldom more than two tokens.
    return " ".join(text.split()[: max(1, min(_WORDS, most_tokens // 2))])
