"""What a model does is measured before it takes requests."""

import threading
import time
from pathlib import Path

import pytest

from modelplane.launcher.model_server.measuring import Count, measure, question
from tests.hosting.model_server.test_llama_cpp import smollm2


def test_all_slots_are_asked_at_a_time_and_never_twice_the_same() -> None:
    asked: list[int] = []
    together = threading.Barrier(4, timeout=10)

    def burden(number: int, count: Count) -> None:
        asked.append(number)
        if number < 4:
            together.wait()
        while not count(5):
            time.sleep(0.01)

    rate = measure(burden, 4, 0.5)
    assert 0 < rate <= 4 * 5 / 0.01
    assert len(set(asked)) == len(asked) >= 4
    assert len({question(number, 1_000) for number in asked}) == len(asked)


def test_a_question_that_fails_ends_it() -> None:
    def burden(number: int, count: Count) -> None:
        if number == 1:
            raise ValueError("out of memory")
        while not count(1):
            time.sleep(0.01)

    with pytest.raises(ValueError, match="out of memory"):
        measure(burden, 2, 60)


def test_a_question_fits_into_a_small_window() -> None:
    assert len(question(1, 8).split()) <= 4


def test_a_real_model_says_what_it_does(tmp_path: Path) -> None:
    with smollm2(tmp_path, "llm/v1/chat", "--calibration-seconds", "2") as replica:
        rate = replica.ready["tokens_per_second"]
        assert isinstance(rate, float)
        assert rate > 0
        assert replica.ask({"prompt": "1, 2,", "max_tokens": 2}).status == 200
        assert b"tokens per second" in replica.log.read_bytes()
