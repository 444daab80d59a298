import pytest

from adapters.providers.types import JsonObject
from data_plane.reservation import output_bound


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        ({}, None),
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 5}, 5),
        # Else a small one that the provider ignores would hide the large one that it heeds.
        ({"max_completion_tokens": 1, "max_tokens": 1000}, 1000),
        ({"max_completion_tokens": 1000, "max_tokens": 1}, 1000),
        ({"max_tokens": -1, "max_completion_tokens": 1}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": "5"}, None),
        ({"max_tokens": 5, "n": 3}, 15),
        ({"max_tokens": 5, "n": -3}, 5),
        ({"max_tokens": 5, "prompt": "one"}, 5),
        ({"max_tokens": 5, "prompt": ["one", "two"], "n": 2}, 20),
        ({"max_tokens": 5, "prompt": [[1, 2], [3]]}, 10),
        # One prompt, split into tokens already.
        ({"max_tokens": 5, "prompt": [1, 2, 3]}, 5),
        ({"max_tokens": 5, "prompt": []}, 5),
    ],
)
def test_how_long_an_answer_may_get(body: JsonObject, bound: int | None) -> None:
    assert output_bound(body) == bound
