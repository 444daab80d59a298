"""Which requests are refused since they may end a model's processes."""

from modelplane.data_plane.hosting.suspects import Suspects


def test_two_processes_are_enough_for_five_minutes() -> None:
    suspects = Suspects()
    suspects.note_lost(b"poison", "a", 0)
    suspects.note_lost(b"poison", "a", 1)
    assert not suspects.has(b"poison", 1)
    suspects.note_lost(b"poison", "b", 2)
    assert suspects.has(b"poison", 301)
    assert not suspects.has(b"other", 301)
    assert not suspects.has(b"poison", 302)
    # Then it has one more try.
    suspects.note_lost(b"poison", "c", 303)
    assert not suspects.has(b"poison", 303)


def test_what_was_answered_in_between_is_none() -> None:
    suspects = Suspects()
    suspects.note_lost(b"usual", "a", 0)
    suspects.note_answered(b"usual")
    suspects.note_lost(b"usual", "b", 1)
    assert not suspects.has(b"usual", 1)


def test_there_are_64_at_most() -> None:
    suspects = Suspects()
    for number in range(65):
        for replica in ("a", "b"):
            suspects.note_lost(b"%d" % number, replica, 0)
    assert [number for number in range(65) if not suspects.has(b"%d" % number, 0)] == [0]
