"""One file of a journal: records appended to room that is reserved beforehand, and read back.

Used by `journal.py`. A record is a header (mark, length, checksum, kind, key) and a payload. Room
for the outcome of every intent is kept, so once an intent is written its outcome can be, too, in
the same file, however full the disk. What is written survives the death of the process, since the
kernel has it; a crash of the machine may cost what was not yet synced. The open segment is written
through memory where the disk allows it (`journal_room.py`): calling the kernel twice for each query
costs as much as all else here.
"""

import os
from mmap import mmap
from pathlib import Path
from struct import Struct
from typing import NamedTuple
from zlib import crc32

KEY_BYTES = 16
# Longer outcomes are refused; the ledger shortens them.
OUTCOME_BYTES = 2_048
INTENT_BYTES = 32_768

_INTENT = 1
_OUTCOME = 2
_MARK = b"mpj1"
_HEADER = Struct(f"<4sIIB{KEY_BYTES}s")
_HEADER_BYTES = _HEADER.size
_OUTCOME_ROOM = _HEADER.size + OUTCOME_BYTES
_READ_BYTES = 131_072
_OWNER_ONLY = 0o600


class Entry(NamedTuple):
    """What a segment holds of one query.

    Attributes:
        key: Identifier of the query.
        intent: What was written before the provider was called; empty if it was destroyed.
        outcome: What was written at the end; empty if there was none.
    """

    key: bytes
    intent: bytes
    outcome: bytes = b""


class SegmentReader:
    """Reads the entries of a segment, in the order in which they were finished.

    Attributes:
        position: Everything before it has been read, bytes.
        unfinished: Intents read whose outcome was not, by key.
    """

    def __init__(self, descriptor: int) -> None:
        self.position = 0
        self.unfinished: dict[bytes, bytes] = {}
        self._descriptor = descriptor

    def read(self, limit: int, end: int) -> list[Entry]:
        """Return up to `limit` more finished entries from before `end`.

        What is damaged is passed over, to the next whole record.
        """
        entries: list[Entry] = []
        while self.position < end and len(entries) < limit:
            wanted = min(_READ_BYTES, end - self.position)
            data = os.pread(self._descriptor, wanted, self.position)
            is_last = self.position + len(data) >= end or len(data) < wanted
            self.position += self._parse(data, entries, limit, is_last=is_last)
            if not data:
                break
        return entries

    def _parse(self, data: bytes, entries: list[Entry], limit: int, *, is_last: bool) -> int:
        """Add the finished entries in `data`, and return how many bytes are done with."""
        at = 0
        while len(entries) < limit and at < len(data):
            if end := self._take(data, at, entries):
                at = end
                continue
            size = _record_size(data, at)
            if size and at + size > len(data) and not is_last:
                return at
            found = data.find(_MARK, at + 1)
            if found < 0:
                # The mark of the next record may be cut in two.
                return len(data) if is_last else max(at + 1, len(data) - len(_MARK) + 1)
            at = found
        return at

    def _take(self, data: bytes, at: int, entries: list[Entry]) -> int:
        """Add what the record at `at` finishes and return its end; 0 if it is not whole."""
        begin = at + _HEADER.size
        if begin > len(data):
            return 0
        mark, length, checksum, kind, key = _HEADER.unpack_from(data, at)
        end: int = begin + length
        if mark != _MARK or end > len(data):
            return 0
        payload = data[begin:end]
        if checksum != _checksum(kind, key, payload):
            return 0
        if kind == _INTENT:
            self.unfinished[key] = payload
        else:
            entries.append(Entry(key, self.unfinished.pop(key, b""), payload))
        return end


class Segment:
    """A segment that this process writes.

    Attributes:
        path: Its file.
        position: Where the next record goes, bytes.
        is_open: Whether it takes further intents.
        unfinished: Number of intents without an outcome.
        reader: Reads it back.
    """

    def __init__(self, path: Path, size: int, *, mapped: bool = False) -> None:
        """Make the file and reserve its room.

        Args:
            path: The file, which must not exist.
            size: Room, bytes.
            mapped: Whether to write through memory.

        Raises:
            OSError: There is no room.
        """
        self.path = path
        self.position = 0
        self.is_open = True
        self.unfinished = 0
        self._size = size
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        try:
            os.posix_fallocate(self._descriptor, 0, size)
            self._map = mmap(self._descriptor, size) if mapped else None
        except OSError:
            os.close(self._descriptor)
            path.unlink()
            raise
        self.reader = SegmentReader(self._descriptor)
        self._synced = 0

    def takes(self, intent: bytes) -> bool:
        """Tell whether an intent, its outcome and all outcomes that are due fit in."""
        due = (self.unfinished + 1) * _OUTCOME_ROOM
        return self.is_open and self.position + len(intent) + due + _HEADER_BYTES <= self._size

    def begin(self, key: bytes, intent: bytes) -> None:
        """Append an intent, for which there is room.

        Raises:
            OSError: It cannot be written.
        """
        self._append(_INTENT, key, intent)
        self.unfinished += 1

    def end(self, key: bytes, outcome: bytes) -> None:
        """Append the outcome of an intent of this segment.

        Raises:
            OSError: It cannot be written.
        """
        self.unfinished -= 1
        self._append(_OUTCOME, key, outcome)

    @property
    def is_mapped(self) -> bool:
        """Whether it is written through memory."""
        return self._map is not None

    @property
    def is_done(self) -> bool:
        """Whether everything that it will ever hold has been read."""
        read = self.reader.position == self.position
        return not self.is_open and not self.unfinished and read

    @property
    def is_synced(self) -> bool:
        """Whether all that is written survives a crash of the machine."""
        return self._synced == self.position

    def sync(self) -> None:
        """Write to the disk what the kernel still has; may take long.

        Raises:
            OSError: The disk does not take it.
        """
        position = self.position
        os.fdatasync(self._descriptor)
        self._synced = position

    def seal(self) -> None:
        """Take no further intents."""
        self.is_open = False
        # However many segments wait to be shipped, one at most takes memory.
        self._unmap()

    def close(self) -> None:
        """Close the file."""
        self._unmap()
        os.close(self._descriptor)

    def _unmap(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None

    def _append(self, kind: int, key: bytes, payload: bytes) -> None:
        header = _HEADER.pack(_MARK, len(payload), _checksum(kind, key, payload), kind, key)
        data = header + payload
        end = self.position + len(data)
        if self._map is not None and end <= self._size:
            self._map[self.position : end] = data
        # What was cut off is overwritten by the next record.
        elif os.pwrite(self._descriptor, data, self.position) != len(data):
            raise OSError("a record was cut off")
        self.position = end


def _checksum(kind: int, key: bytes, payload: bytes) -> int:
    return crc32(payload, crc32(key, kind))


def _record_size(data: bytes, at: int) -> int:
    """Return the size of the record that seems to begin at `at`; 0 if none does."""
    if not data.startswith(_MARK[: len(data) - at], at):
        return 0
    if len(data) - at < _HEADER.size:
        return _HEADER.size
    length = _HEADER.unpack_from(data, at)[1]
    return _HEADER.size + length if length <= INTENT_BYTES else 0
