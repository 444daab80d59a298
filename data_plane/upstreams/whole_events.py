"""Holds back of a stream of events what is not whole yet, however its bytes are split; pure.

Used by `passed_stream.py`. What a stream that breaks off is followed by is then no part of an event
that nobody can read.
"""

# How events end.
_ENDS = (b"\n\n", b"\r\n\r\n")
# Bytes before others with which these may make an end.
_EDGE = 3


class WholeEvents:
    """The events of one stream."""

    __slots__ = ("_edge", "_held")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        # The last bytes of that.
        self._edge = b""

    def take(self, data: bytes) -> bytes:
        """Return the events that `data` completes, with what was held, and hold the rest."""
        if data.endswith(_ENDS):
            return self.flush() + data if self._held else data
        # An end may be cut itself; to look at all that is held would be quadratic.
        seen = self._edge + data
        whole = max(seen.rfind(end) + len(end) if end in seen else 0 for end in _ENDS)
        whole = max(whole - len(self._edge), 0)
        passed = self.flush() + data[:whole] if whole else b""
        self.hold(data[whole:])
        return passed

    def hold(self, data: bytes) -> None:
        """Hold all of `data`."""
        if data:
            self._held.append(data)
            self._edge = data[-_EDGE:] if len(data) >= _EDGE else (self._edge + data)[-_EDGE:]

    def flush(self) -> bytes:
        """Return what was held."""
        held, self._held, self._edge = b"".join(self._held), [], b""
        return held
