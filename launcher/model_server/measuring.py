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
# It ends after so many times as long as it should take, whatever was counted by then.
MOST = 5
_WORDS = 24
_TEXT = "Tell what happened on day %d of a long journey over land and sea to a far away country. "


def measure(burden: Burden, concurrency: int, seconds: float) -> float:
    """Return tokens per second, those of questions and those of answers.

    Args:
        burden: Asks the model.
        concurrency: Questions at a time.
        seconds: How long is counted.

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
    return run.rate()


class _Run:
    """One measurement, in as many threads as there are slots.

    It is counted for so long, from when all slots are full: on a busy machine the first answers
    take long to begin.
    """

    def __init__(self, burden: Burden, concurrency: int, seconds: float) -> None:
        # By thread: none waits for another.
        self.counts = [0] * concurrency
        self.failure: Exception | None = None
        self._burden = burden
        self._seconds = seconds
        self._idle = set(range(concurrency))
        self._counted_from: float | None = None
        self._end = time.monotonic() + MOST * seconds

    def rate(self) -> float:
        """Return tokens per second; 0: not all slots were ever full."""
        if self._counted_from is None or self._counted_from >= self._end:
            return 0.0
        return sum(self.counts) / (self._end - self._counted_from)

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
        now = time.monotonic()
        if self._counted_from is None:
            self._begin(place, now)
        elif now < self._end:
            self.counts[place] += tokens
        return self._is_over()

    def _begin(self, place: int, now: float) -> None:
        self._idle.discard(place)
        if not self._idle:
            self._end = min(self._end, now + self._seconds)
            self._counted_from = now

    def _is_over(self) -> bool:
        return self.failure is not None or time.monotonic() >= self._end


def question(number: int, most_tokens: int) -> str:
    """Return the text of a number, which has fewer tokens than `most_tokens`, roughly."""
    text = _TEXT % number
    # A word is seldom more than two tokens.
    return " ".join(text.split()[: max(1, min(_WORDS, most_tokens // 2))])
