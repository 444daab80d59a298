"""Events of a stream that passes come whole, and its bytes as they were."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from modelplane.data_plane.upstreams.whole_events import WholeEvents

PIECES = st.lists(st.sampled_from((b"data: a", b"\n", b"\r\n", b": ping", b"{}")), max_size=12)


@given(pieces=PIECES, cuts=st.sets(st.integers(0, 60)))
def test_what_comes_out_is_what_came_in(pieces: list[bytes], cuts: set[int]) -> None:
    raw = b"".join(pieces)
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    events = WholeEvents()
    passed = b""
    for start, stop in pairwise(places):
        taken = events.take(raw[start:stop])
        assert not taken or taken.endswith((b"\n\n", b"\n\r\n"))
        passed += taken
        # What could have been told, was.
        assert not raw[len(passed) : stop].endswith((b"\n\n", b"\r\n\r\n"))
    assert passed + events.flush() == raw


def test_an_event_in_many_pieces_is_told_once() -> None:
    events = WholeEvents()
    assert not any(events.take(b"x" * 999) for _ in range(999))
    assert len(events.take(b"\r\n\r\nnext")) == 999 * 999 + 4
    assert events.flush() == b"next"
