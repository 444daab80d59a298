import pytest

from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.calls.characters import answer_characters, prompt_characters
from modelplane.data_plane.calls.tasks import SPECS


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"messages": [{"content": "abc"}, {"content": "de"}, {"role": "tool"}, 1]}, 5),
        ({"messages": [{"content": [{"text": "abc"}, {"image_url": {"url": "x"}}, "y"]}]}, 3),
        ({"messages": [{"content": "abc"}], "system": [{"type": "text", "text": "de"}]}, 5),
        ({"messages": [{"content": "abc"}], "system": "de"}, 5),
        ({"messages": [], "input": "abc", "instructions": "de"}, 5),
        (
            {
                "messages": [],
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "abc"}]},
                    {"type": "function_call_output", "output": "de"},
                ],
            },
            5,
        ),
        (
            {
                "messages": [],
                "contents": [{"parts": [{"text": "abc"}, {"inlineData": {"data": "x"}}]}],
                "systemInstruction": {"parts": [{"text": "de"}]},
            },
            5,
        ),
        ({"prompt": "abc"}, 3),
        ({"prompt": ["abc", "de"]}, 5),
        ({"input": ["abc", [1, 2]]}, 3),
        ({"inputs": {"x": "y"}}, 0),
    ],
)
def test_characters_of_prompts_are_counted(body: JsonObject, count: int) -> None:
    fields = next((one.prompt for one in SPECS.values() if one.prompt & body.keys()), frozenset())
    assert prompt_characters(body, fields) == count


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"choices": [{"message": {"content": "abc"}}, {"message": {"content": None}}]}, 3),
        ({"choices": [{"delta": {"content": "ab"}}, {"delta": {}}]}, 2),
        ({"choices": [{"text": "abcd"}]}, 4),
        ({"choices": "x"}, 0),
        ({"data": []}, 0),
    ],
)
def test_characters_of_answers_are_counted(answer: JsonObject, count: int) -> None:
    assert answer_characters(answer) == count
