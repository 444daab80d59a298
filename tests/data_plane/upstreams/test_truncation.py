import orjson

from modelplane.data_plane.upstreams.truncation import REASON, encode_cut

LAST = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "chat", "usage": None}


def test_a_chat_ends_as_one_whose_tokens_are_used_up() -> None:
    line = encode_cut({**LAST, "choices": [{"index": 0}]}, deltas=True, choices=range(2))
    assert line.startswith(b"data: ")
    assert line.endswith(b"\n\n")
    assert orjson.loads(line.removeprefix(b"data: ")) == {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 5,
        "model": "chat",
        "choices": [
            {"index": 0, "delta": {}, "finish_reason": "length"},
            {"index": 1, "delta": {}, "finish_reason": "length"},
        ],
        "modelplane_reason": REASON,
    }


def test_a_completion_ends_in_its_own_form() -> None:
    line = encode_cut({}, deltas=False, choices=[0])
    (choice,) = orjson.loads(line.removeprefix(b"data: "))["choices"]
    assert choice == {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
