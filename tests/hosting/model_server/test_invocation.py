"""How a stream ends, whatever serves the model."""

from collections.abc import Iterator

from modelplane.launcher.model_server.invocation import DONE, error_event, to_the_end
from modelplane.launcher.model_server.refusals import bad_request


def test_a_stream_that_breaks_off_tells_why_and_is_over() -> None:
    refusal = bad_request("The engine is gone.")

    def events() -> Iterator[bytes]:
        yield b"data: 1\n\n"
        raise refusal

    assert list(to_the_end(events())) == [b"data: 1\n\n", error_event(refusal), DONE]
    assert b"The engine is gone." in error_event(refusal)
    assert list(to_the_end(iter([b"data: 1\n\n"]))) == [b"data: 1\n\n", DONE]
