from typing import Any

import pytest

from modelplane.adapters.providers.types import JsonObject, Query, Task
from modelplane.data_plane.calls.tasks import SPECS
from modelplane.data_plane.limits.reservation import Estimate, estimate_prompt, output_bound


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"messages": [{"role": "user", "content": "x" * 400}]}, 104),
        ({"messages": [{"role": "user", "content": ""}] * 3}, 12),
        ({"prompt": "x" * 41}, 10),
        ({"prompt": [1, 2, 3]}, 3),
        ({"input": ["x" * 8, "y" * 8]}, 4),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "x" * 40},
                            {"type": "image_url", "image_url": {"url": "data:" + "x" * 10**6}},
                        ],
                    }
                ]
            },
            # role 1, three frames, `type` twice, the text, and the picture whatever its size.
            1 + 3 * 4 + 1 + 10 + 2 + 1_000,
        ),
        ({"messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "x" * 80}]}, 28),
        ({"messages": ["no message"]}, 2),
        ({"temperature": 0.5}, 0),
    ],
)
def test_prompts_are_estimated(body: dict[str, Any], tokens: int) -> None:
    fields = next((one.prompt for one in SPECS.values() if one.prompt & body.keys()), frozenset())
    assert estimate_prompt(Query(body, stream=False), fields) == tokens


def test_a_deep_prompt_is_no_trouble() -> None:
    deep: Any = "x"
    for _ in range(2_000):
        deep = [deep]
    assert estimate_prompt(Query({"input": deep}, stream=False), frozenset({"input"})) == 0


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        ({}, None),
        ({"max_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": 5}, 7),
        ({"max_tokens": 7, "prompt": ["one", "two"]}, 14),
        ({"max_tokens": 7, "n": 3}, 21),
        ({"max_tokens": "7"}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 7, "n": "many"}, 7),
    ],
)
def test_the_bound_of_an_answer(body: dict[str, Any], bound: int | None) -> None:
    assert output_bound(body) == bound


def test_what_is_always_the_same_is_known_after_a_few() -> None:
    estimate = Estimate()
    assert estimate.known() is None
    estimate.learn(100)
    assert (estimate.least, estimate.likely) == (0, 150)
    for _ in range(9):
        estimate.learn(100)
    assert estimate.least == 100
    assert estimate.likely <= 103


def test_what_differs_is_likely_no_more_than_a_deviation_above_the_mean() -> None:
    estimate = Estimate()
    for _ in range(50):
        for tokens in (0, 100, 200):
            estimate.learn(tokens)
    assert 70 <= estimate.least <= 130
    assert 140 <= estimate.likely <= 210


def test_longer_answers_are_likely_at_once_and_shorter_ones_after_a_while() -> None:
    estimate = Estimate()
    for _ in range(20):
        estimate.learn(10)
    for _ in range(3):
        estimate.learn(500)
    assert estimate.likely >= 400
    for _ in range(30):
        estimate.learn(10)
    assert estimate.likely <= 40


def test_prompts_that_are_overestimated_are_learned_too() -> None:
    estimate = Estimate()
    for _ in range(10):
        estimate.learn(-50)
    assert (estimate.least, estimate.likely) == (-50, -49)


def test_others_like_them_are_believed_until_there_are_own_ones() -> None:
    parent = Estimate()
    child = Estimate(parent)
    assert child.known() is None
    Estimate(parent).learn(100)
    assert child.known() is parent
    child.learn(20)
    assert child.known() is child
    assert parent.seen == 2
    # One in a few says enough.
    for _ in range(79):
        child.learn(20)
    assert parent.seen == 1 + 8 + 9


DATA = "data:" + "x" * 10**6
SOURCE = {"type": "base64", "media_type": "image/png", "data": DATA}
IMAGES: list[JsonObject] = [
    {"messages": [{"role": "user", "content": [{"type": "image", "source": SOURCE}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": DATA}]}]},
    {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": DATA}}]}]},
]


@pytest.mark.parametrize("body", IMAGES)
def test_an_image_costs_no_more_than_one_in_any_api(body: JsonObject) -> None:
    fields = SPECS[Task.CHAT].prompt
    assert 1_000 < estimate_prompt(Query(body, stream=False), fields) < 1_100


def test_a_parameter_called_source_is_no_image() -> None:
    schema = {"properties": {"source": {"type": "string"}}}
    body: JsonObject = {"messages": [], "tools": [{"name": "a", "input_schema": schema}]}
    assert estimate_prompt(Query(body, stream=False), frozenset({"messages"})) < 100


@pytest.mark.parametrize(
    "body", [{"max_output_tokens": 7}, {"generationConfig": {"maxOutputTokens": 7}}]
)
def test_other_apis_bound_answers_by_other_names(body: JsonObject) -> None:
    assert output_bound(body) == 7
