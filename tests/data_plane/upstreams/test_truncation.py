from modelplane.data_plane.upstreams.truncation import REASON, last_chunk

LAST = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "chat", "usage": None}


def test_a_chat_ends_as_one_whose_tokens_are_used_up() -> None:
    assert last_chunk({**LAST, "choices": [{"index": 0}]}, deltas=True, choices=range(2)) == {
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
    choice = {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
    assert last_chunk({}, deltas=False, choices=[0])["choices"] == [choice]
