import pytest

from modelplane.adapters.providers.types import (
    MAX_COUNT,
    JsonObject,
    Usage,
    as_count,
    parse_usage,
    tokens_of,
)
from modelplane.data_plane.telemetry.meters import Meters


@pytest.mark.parametrize("count", [-1, MAX_COUNT + 1, 2**63, 2**64 - 1, True, 1.5, "1", None])
def test_a_count_that_cannot_be_one_is_none(count: object) -> None:
    answer: JsonObject = {
        "usage": {
            "prompt_tokens": count,
            "completion_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": count},
            "completion_tokens_details": {"reasoning_tokens": count},
        }
    }
    assert parse_usage(answer) == Usage(None, 1, None, None)


@pytest.mark.parametrize("count", [-1, MAX_COUNT + 1, 2.0**53, 1e300, 1.5, float("nan"), True, "1"])
def test_nor_one_of_a_provider_of_another_schema(count: object) -> None:
    assert as_count(count) is None


def test_a_whole_number_may_be_written_as_a_fraction() -> None:
    assert (as_count(3.0), type(as_count(3.0))) == (3, int)


def test_as_many_as_a_provider_may_say_can_be_reported() -> None:
    usage = parse_usage({"usage": {"prompt_tokens": MAX_COUNT, "completion_tokens": MAX_COUNT}})
    assert usage == Usage(MAX_COUNT, MAX_COUNT)
    meters = Meters()
    for _ in range(10_000):
        meters.observe("id", "chat", 200, 1.0, usage)
    (counts,) = meters.take()
    assert counts.entities[0].input_tokens == 10_000 * MAX_COUNT


def test_tokens_are_estimated_as_the_mirrored_product_does() -> None:
    assert [tokens_of(count) for count in (0, 3, 7, 8)] == [0, 1, 2, 2]
