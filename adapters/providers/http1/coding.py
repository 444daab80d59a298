"""Unpacks bodies that a server compressed although it was asked not to, in pieces of bounded size.

Used by `http/client.py`. A small body may stand for a very large one: nothing is unpacked before it
is asked for, and who asks counts what comes out.
"""

import zlib

from modelplane.adapters.providers.http1.errors import CodingBroken, CodingIncomplete

_CODINGS = frozenset({"gzip", "x-gzip", "deflate"})
_KNOWN = _CODINGS | {"", "identity"}
_PIECE_BYTES = 64 * 1024
# Finds gzip's and zlib's own head; what is called deflate comes without one from some servers.
_WITH_HEAD, _WITHOUT_HEAD = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS
_ZLIB_METHOD = 8
# Of one body: servers send one, or one for each part that they flush.
_MAX_MEMBERS = 10_000


def is_known(coding: str) -> bool:
    """Return whether a body with this `content-encoding` can be read."""
    return coding.strip().lower() in _KNOWN


def find_decoder(coding: str) -> "Decoder | None":
    """Return what unpacks a body with this `content-encoding`; None: nothing has to."""
    name = coding.strip().lower()
    return Decoder(name) if name in _CODINGS else None


class Decoder:
    """Unpacks one body."""

    def __init__(self, coding: str) -> None:
        """Start before the first byte.

        Args:
            coding: `gzip`, `x-gzip` or `deflate`.
        """
        self._coding = coding
        self._packed = b""
        self._inflater = zlib.decompressobj(_WITH_HEAD)
        self._begun = False
        self._members = 1

    @property
    def pending(self) -> bool:
        """Whether some of what it was given is still packed."""
        return bool(self._packed)

    def push(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if not self._begun:
            self._begun = True
            if self._coding == "deflate" and data[0] & 0x0F != _ZLIB_METHOD:
                self._inflater = zlib.decompressobj(_WITHOUT_HEAD)
        self._packed += data

    def pull(self) -> bytes:
        """Return the next bytes of what was packed; empty when more of the body is needed first.

        Raises:
            CodingBroken: The body is not packed as its header says.
        """
        while self._packed:
            if self._inflater.eof:
                # Another one follows, which gzip allows. Each costs a copy of all that is packed.
                self._members += 1
                if self._members > _MAX_MEMBERS:
                    raise CodingBroken
                self._inflater = zlib.decompressobj(_WITH_HEAD)
            try:
                piece = self._inflater.decompress(self._packed, _PIECE_BYTES)
            except zlib.error as error:
                raise CodingBroken from error
            self._packed = self._inflater.unconsumed_tail or self._inflater.unused_data
            if piece:
                return piece
        return b""

    def finish(self) -> None:
        """Note the end of the body.

        Raises:
            CodingIncomplete: What was packed is not complete.
        """
        if self._begun and not self._inflater.eof:
            raise CodingIncomplete
