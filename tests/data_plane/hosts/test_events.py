import json

import pytest

from modelplane.adapters.shared.rpc.status import INTERNAL
from modelplane.data_plane.errors import Refusal
from modelplane.data_plane.hosts.events import encode_error, encode_events


@pytest.mark.parametrize(
    ("chunks", "ended", "text"),
    [
        ([b"{}"], False, b"data: {}\n\n"),
        ([b"1", b"2"], False, b"data: 1\n\ndata: 2\n\n"),
        ([b"1"], True, b"data: 1\n\ndata: [DONE]\n\n"),
        ([], True, b"data: [DONE]\n\n"),
        ([], False, b""),
    ],
)
def test_each_chunk_is_an_event(chunks: list[bytes], text: bytes, *, ended: bool) -> None:
    assert encode_events(chunks, ended=ended) == text


def test_an_error_is_what_clients_look_for() -> None:
    event = encode_error(Refusal(INTERNAL, 'say "no"\n\n'))
    assert event.startswith(b"data: ")
    assert event.endswith(b"}\n\n")
    error = {
        "message": 'say "no"\n\n',
        "type": "server_error",
        "code": "INTERNAL_ERROR",
        "param": None,
    }
    # Without the choices, LiteLLM takes the caller's request for the reason.
    assert json.loads(event[6:]) == {"error": error, "choices": []}
