"""Frames of rows: what is written is read, and what is damaged costs itself alone."""

from hypothesis import given
from hypothesis import strategies as st

from modelplane.data_plane.payloads.row import DROPPED, PayloadRow, read_rows

BODIES = st.none() | st.binary(max_size=40) | st.just(b"mpp1" * 9)
ROWS = st.lists(
    st.builds(
        PayloadRow,
        st.just("main/logs/chat_payload"),
        st.dictionaries(st.text(max_size=4), st.none() | st.integers(0, 99), max_size=3),
        st.tuples(st.text(max_size=5)),
        BODIES,
        BODIES,
    ),
    max_size=5,
)


@given(rows=ROWS, room=st.integers(0, 64))
def test_what_is_written_is_read(rows: list[PayloadRow], room: int) -> None:
    data = b"".join(row.encode() for row in rows) + bytes(room)
    assert list(read_rows(data)) == rows


@given(rows=ROWS, data=st.data())
def test_a_file_that_is_cut_off_has_all_rows_before_that(
    rows: list[PayloadRow], data: st.DataObject
) -> None:
    frames = [row.encode() for row in rows]
    whole = b"".join(frames)
    cut = data.draw(st.integers(0, len(whole)))
    kept = list(read_rows(whole[:cut]))
    assert kept == rows[: len(kept)]
    assert sum(map(len, frames[: len(kept) + 1])) > cut or len(kept) == len(rows)


def test_a_damaged_row_costs_itself_alone() -> None:
    rows = [PayloadRow("t", {"n": n}, (), b"q" * 50, b"a") for n in range(3)]
    frames = [bytearray(row.encode()) for row in rows]
    frames[1][-20] ^= 1
    assert list(read_rows(b"".join(frames))) == [rows[0], rows[2]]


def test_a_row_without_bodies_says_so() -> None:
    row = PayloadRow("t", {}, ("A",), b"q", b"a").without_bodies()
    assert (row.request, row.response, row.errors) == (None, None, ("A", DROPPED))
