"""A stream as an array says what its events say, wherever it was cut."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from modelplane.data_plane.protocols.gemini.array import JsonArray

EVENTS = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9), min_size=1), max_size=4)


@given(events=EVENTS, end=st.sampled_from(("\r\n\r\n", "\n\n")), cuts=st.lists(st.integers(0, 200)))
def test_events_are_members(events: list[dict[str, str]], end: str, cuts: list[int]) -> None:
    raw = "".join(f"data: {json.dumps(event)}{end}" for event in events).encode()
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    array = JsonArray()
    pieces = [array.add(raw[start:stop]) for start, stop in pairwise(places)]
    assert json.loads(b"".join(pieces) + array.finish()) == events
