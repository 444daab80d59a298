"""A server that is a process of its own below this one, and is asked over HTTP.

It has no life of its own: when it ends, or says that it cannot go on, so does this process, and the
launcher starts both anew. Used by `vllm` and `command`.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Iterator, Mapping, NamedTuple, Sequence

from .refusals import Refused, bad_request, clean

_HOST = "127.0.0.1"
_LOOK_SECONDS = 0.2
_HEALTH_SECONDS = 5.0
_END_SECONDS = 10.0
_READ_BYTES = 64 << 10
_MOST_EVENT_BYTES = 16 << 20
_MOST_ERROR_BYTES = 64 << 10
_MOST_PAGE_BYTES = 4 << 20
_SERVER_ERRORS = 500


class Place(NamedTuple):
    """Where a child is asked.

    Attributes:
        socket: Path of its Unix socket; empty: it listens on the port.
        port: Port on this machine.
        health: Path that answers 200 once it is ready.
        token: What it asks its callers for; empty: nothing.
    """

    socket: str
    port: int
    health: str
    token: str = ""


class _Connection(http.client.HTTPConnection):
    def __init__(self, place: Place, seconds: float) -> None:
        super().__init__(_HOST, place.port or None, timeout=seconds)
        self._path = place.socket

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class NotReady(Exception):
    """A server has ended before it was ready; what it has written itself says why."""


class Child:
    """A server that runs until this process ends."""

    def __init__(
        self,
        command: Sequence[str],
        place: Place,
        folder: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start it, and wait until it is ready.

        Args:
            command: Its command.
            place: Where it will be asked.
            folder: Its working directory; None: this process's.
            variables: Beside those of this process.

        Raises:
            OSError: It cannot be started.
            NotReady: It has ended.
        """
        self._place = place
        self._is_ending = False
        environment = {**os.environ, **(variables or {})}
        self._process = subprocess.Popen(  # noqa: S603 - the operator's, or the model's owner's
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL
        )
        while not self.is_healthy():
            if self._process.poll() is not None:
                raise NotReady(
                    "Its server has ended with status %d before it was ready."
                    % self._process.returncode
                )
            time.sleep(_LOOK_SECONDS)
        threading.Thread(target=self._follow, name="child", daemon=True).start()

    def is_healthy(self) -> bool:
        """Tell whether it says that it can be asked."""
        try:
            return self._health() < _SERVER_ERRORS
        except (OSError, http.client.HTTPException):
            return False

    def _health(self) -> int:
        connection = _Connection(self._place, _HEALTH_SECONDS)
        try:
            connection.request("GET", self._place.health)
            return connection.getresponse().status
        finally:
            connection.close()

    def refuse(self, refusal: Refused) -> Refused:
        """Return the refusal of an answer that the server has failed to give.

        Where it is the server that has failed, and not the request, this process ends instead: then
        another one may answer, for nothing says that the caller has asked for it.
        """
        try:
            has_failed = self._health() >= _SERVER_ERRORS
        except (ConnectionError, FileNotFoundError):
            has_failed = True
        except (OSError, http.client.HTTPException):
            # Perhaps it has too much to do.
            has_failed = False
        if has_failed and not self._is_ending:
            sys.stderr.write("the model's server has failed: %s\n" % refusal.message)
            sys.stderr.flush()
            os._exit(1)
        return refusal

    def page(self, path: str) -> str:
        """Return a page of its own, which needs no token.

        Raises:
            OSError: It does not answer.
            HTTPException: What it answers is none.
        """
        connection = _Connection(self._place, _HEALTH_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise http.client.HTTPException("status %d" % answer.status)
            return answer.read(_MOST_PAGE_BYTES).decode(errors="replace")
        finally:
            connection.close()

    def end(self) -> None:
        """End it: it has answered what it had."""
        self._is_ending = True
        self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def ask(self, path: str, body: bytes, seconds: float) -> Said:
        """Send a request; return what comes back, once it has begun.

        Args:
            path: Where to.
            body: JSON.
            seconds: Longest pause of the server's.

        Raises:
            Refused: There is no answer, or it is a refusal.
        """
        connection = _Connection(self._place, seconds)
        headers = {"content-type": "application/json"}
        if self._place.token:
            headers["authorization"] = "Bearer " + self._place.token
        try:
            connection.request("POST", path, body, headers)
            said = Said(self, connection, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self.refuse(bad_request("The model's server does not answer.")) from error
        if said.status == http.client.OK:
            return said
        refusal = refusal_in(said.some(_MOST_ERROR_BYTES))
        raise self.refuse(refusal) if said.status >= _SERVER_ERRORS else refusal

    def _follow(self) -> None:
        status = self._process.wait()
        if not self._is_ending:
            sys.stderr.write("the model's server has ended with status %d\n" % status)
            sys.stderr.flush()
            os._exit(1)


class Said:
    """A response of a child's, to be read once."""

    def __init__(
        self,
        child: Child,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
    ) -> None:
        self._child = child
        self._connection = connection
        self._response = response
        self._chunks = _Chunks() if response.chunked else None
        self.status = response.status

    @property
    def is_stream(self) -> bool:
        """Whether it comes in events."""
        return self._response.getheader("content-type", "").startswith("text/event-stream")

    def whole(self) -> bytes:
        """Return all of it.

        Raises:
            Refused: It breaks off.
        """
        return self.some(None)

    def some(self, most: int | None) -> bytes:
        """Return it, or what is first of it.

        Raises:
            Refused: It breaks off.
        """
        try:
            return self._response.read(most)
        except (OSError, http.client.HTTPException) as error:
            raise self.broken_off() from error
        finally:
            self._connection.close()

    def broken_off(self) -> Refused:
        """Return the refusal of an answer that has no end."""
        return self._child.refuse(bad_request("The model's server has broken off its answer."))

    def failed(self, event: bytes) -> Refused:
        """Return the refusal that is in an event."""
        return self._child.refuse(refusal_in(event))

    def events(self) -> Iterator[bytes]:
        """Yield what is between two empty lines, one at a time; see `batches`."""
        for events in self.batches():
            yield from events

    def batches(self) -> Iterator[list[bytes]]:
        """Yield what is between two empty lines, as it comes: what came at once together.

        A child that hears that its caller is gone, by the end of the connection, stops.

        Raises:
            Refused: It breaks off.
        """
        rest = b""
        try:
            while True:
                data = self._read()
                if data is None:
                    return
                *whole, rest = (rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
                if len(rest) > _MOST_EVENT_BYTES:
                    raise bad_request("An event of the model's answer is too long.")
                if whole:
                    yield whole
        except (OSError, http.client.HTTPException) as error:
            raise self.broken_off() from error
        finally:
            self._connection.close()

    def _read(self) -> bytes | None:
        """Return what has come; None: it is over."""
        if self._chunks is None:
            return self._response.read1(_READ_BYTES) or None
        if self._chunks.is_over:
            return None
        # Below what reads one chunk at a time, with a dozen calls for each.
        data = self._response.fp.read1(_READ_BYTES)
        if not data:
            raise http.client.IncompleteRead(b"")
        return self._chunks.feed(data)


class _Chunks:
    """A body in chunks, on its way (RFC 9112, 7.1).

    Attributes:
        is_over: Whether its last chunk has come.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return what is in the chunks that are whole now.

        Raises:
            HTTPException: It is not in chunks.
        """
        data = self._rest + data
        at, found = 0, []
        while not self.is_over:
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            size = _size_of(data[at:end])
            first = end + 2
            if len(data) < first + size + 2:
                break
            found.append(data[first : first + size])
            at = first + size + 2
            self.is_over = size == 0
        self._rest = data[at:]
        if len(self._rest) > _MOST_EVENT_BYTES:
            raise http.client.HTTPException("a chunk is too long")
        return b"".join(found)


def _size_of(line: bytes) -> int:
    try:
        size = int(line.partition(b";")[0], 16)
    except ValueError as error:
        raise http.client.HTTPException("no size of a chunk") from error
    if size < 0:
        raise http.client.HTTPException("no size of a chunk")
    return size


def refusal_in(said: bytes) -> Refused:
    """Return the refusal that an error of a child's is for the caller, whatever its status.

    A model that fails would fail again: nothing above 400 has clients try it.
    """
    return bad_request(clean("The model cannot answer this: %s" % message_in(said)))


def message_in(said: bytes) -> str:
    """Return the message of an error in OpenAI's form, or in one like it."""
    try:
        told = json.loads(said)
    except ValueError:
        return said.decode("utf-8", "replace").strip() or "its server has given no reason."
    if isinstance(told, dict):
        error = told.get("error", told)
        if isinstance(error, dict):
            error = error.get("message", error)
        return str(error)
    return str(told)
