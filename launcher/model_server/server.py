"""Connections, one thread each, and what is answered without the model."""

from __future__ import annotations

import contextlib
import functools
import hmac
import json
import socket
import ssl
import threading
import time
import traceback
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Protocol

from .evaluation import LAST_WORDS_SECONDS, Evaluation, Watch
from .figures import Watching
from .http1 import Connection, Gone, Head
from .invocation import DONE, error_event
from .last_asked import LastAsked
from .refusals import Refused, bad_request, timed_out
from .slots import Slots

_MOST_CONNECTIONS = 1024
_BACKLOG = 512
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class Limits(NamedTuple):
    """What a server takes."""

    concurrency: int
    evaluation_seconds: float
    tls: ssl.SSLContext | None = None


class Asked(Protocol):
    """What one body asks of a model; each engine has its own."""

    @property
    def stream(self) -> bool:
        """Whether the answer is wanted piece by piece."""

    def answer(self) -> bytes:
        """Return the model's answer; raises `Refused`."""

    def events(self) -> Iterator[bytes]:
        """Return the model's answer as events; what fails before the first one is a refusal."""


# Returns what a body asks, given the request's headers, by name in lower case; raises `Refused`.
Begin = Callable[[bytes, Mapping[str, str]], Asked]


class State(NamedTuple):
    """What is known of what answers.

    Attributes:
        is_healthy: Tells whether it can be asked.
        figures: What it says of itself; None: nothing.
    """

    is_healthy: Callable[[], bool] = lambda: True
    figures: Watching | None = None


_USUAL = State()


class Server:
    """Serves one model until it is told to stop."""

    def __init__(
        self,
        begin: Begin,
        token: str,
        limits: Limits,
        asked: LastAsked,
        state: State = _USUAL,
    ) -> None:
        self._begin = begin
        self._asked = asked
        self._state = state
        self._authorization = ("Bearer " + token).encode() if token else b""
        self._limits = limits
        self._slots = Slots(limits.concurrency)
        self._watch = Watch()
        self._stopping = False
        self._connections: set[Connection] = set()
        self._idle: set[Connection] = set()
        self._lock = threading.Lock()  # guards the two sets
        self._listening = socket.socket()

    def listen(self, host: str, port: int) -> int:
        """Take connections from now on; return the port."""
        if ":" in host:
            self._listening = socket.socket(socket.AF_INET6)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind((host, port))
        self._listening.listen(_BACKLOG)
        threading.Thread(target=self._accept, name="accept", daemon=True).start()
        return int(self._listening.getsockname()[1])

    def stop(self) -> None:
        """Take no more requests, and return when those that are here are answered.

        One whose time is over was answered so; the model may work on it for ever.
        """
        self._stopping = True
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            for connection in self._idle:
                connection.shut(socket.SHUT_RD)
        while len(self._connections) > self._watch.overdue():
            time.sleep(0.01)
        if self._connections:
            # The answer that their time is over may be on its way.
            time.sleep(LAST_WORDS_SECONDS)

    def _accept(self) -> None:
        while not self._stopping:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                time.sleep(0.01)  # no more files, for now
                continue
            if len(self._connections) >= _MOST_CONNECTIONS:
                accepted.close()
                continue
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(accepted)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            if self._limits.tls is not None:
                connection.secure(self._limits.tls)
            while self._answer_one(connection):
                pass
        except Gone:
            pass
        except Exception:
            traceback.print_exc()
        finally:
            connection.close()
            with self._lock:
                self._connections.discard(connection)

    def _next_head(self, connection: Connection) -> Head:
        with self._lock:
            if self._stopping:
                raise Gone
            self._idle.add(connection)
        try:
            head = connection.read_head()
        finally:
            with self._lock:
                self._idle.discard(connection)
        if head is None:
            raise Gone
        return head

    def _answer_one(self, connection: Connection) -> bool:
        """Answer one request; false when there shall be no more on its connection."""
        try:
            head = self._next_head(connection)
            self._admit(head)
            if head.path == "/ping":
                return self._ping(connection, head)
            if not self._slots.enter():
                return self._busy(connection, head)
        except Refused as refusal:
            connection.answer(refusal.status, refusal.body(), keep_alive=False)
            return False
        self._asked.note(self._slots.inside)
        try:
            return self._invoke(connection, head)
        finally:
            self._slots.leave()
            self._asked.note(self._slots.inside)

    def _admit(self, head: Head) -> None:
        path = head.path.partition("?")[0]
        if (head.method, path) == ("GET", "/ping"):
            return
        if path not in {"/ping", "/invocations"}:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "There is nothing here.")
        if (head.method, path) != ("POST", "/invocations"):
            raise Refused(405, "BAD_REQUEST", "The method is not supported here.")
        if not self._is_known(head):
            raise Refused(401, "UNAUTHENTICATED", "The token of the request is not this server's.")

    def _is_known(self, head: Head) -> bool:
        sent = head.headers.get("authorization", "").encode("latin-1")
        return not self._authorization or hmac.compare_digest(sent, self._authorization)

    def _ping(self, connection: Connection, head: Head) -> bool:
        healthy = self._watch.overdue() < self._limits.concurrency and self._state.is_healthy()
        said: dict[str, Any] = {"status": "healthy" if healthy else "hanging"}
        if self._state.figures is not None and self._is_known(head):
            said["engine"] = self._state.figures.newest
        body = json.dumps(said, separators=(",", ":")).encode()
        connection.answer(200 if healthy else 503, body, self._load(), keep_alive=head.keep_alive)
        return head.keep_alive and connection.drain(head)

    def _busy(self, connection: Connection, head: Head) -> bool:
        keep_alive = connection.drain(head) and head.keep_alive
        refusal = Refused(
            503,
            "TEMPORARILY_UNAVAILABLE",
            "Too many concurrent requests. Consider increasing the provisioned concurrency of the "
            "served entity.",
        )
        headers = "x-modelplane-busy: 1\r\n" + self._load()
        connection.answer(503, refusal.body(), headers, keep_alive=keep_alive)
        return keep_alive

    def _load(self) -> str:
        return "x-modelplane-load: %d\r\n" % self._slots.inside

    def _invoke(self, connection: Connection, head: Head) -> bool:
        keep_alive = head.keep_alive and not self._stopping
        try:
            deadline = time.monotonic() + self._seconds_of(head)
            body = connection.read_body(head)
        except Refused as refusal:
            connection.answer(refusal.status, refusal.body(), self._load(), keep_alive=False)
            return False
        if not self._slots.take(0.0):
            if not self._slots.take(deadline - time.monotonic()):
                connection.answer(504, timed_out().body(), self._load(), keep_alive=keep_alive)
                return keep_alive
            if connection.is_gone():
                self._slots.give_back()
                raise Gone
        return self._evaluate(connection, head, body, deadline) and keep_alive

    def _seconds_of(self, head: Head) -> float:
        sent = head.headers.get("x-modelplane-deadline-ms")
        if sent is None:
            return self._limits.evaluation_seconds
        if not (sent.isascii() and sent.isdigit()):
            raise bad_request("x-modelplane-deadline-ms is no number of milliseconds.")
        return min(int(sent[:12]) / 1000, self._limits.evaluation_seconds)

    def _evaluate(self, connection: Connection, head: Head, body: bytes, deadline: float) -> bool:
        """Let the model answer, with a slot that is given back as soon as the model is done."""
        late = timed_out().body()
        evaluation = Evaluation(connection, deadline, _whole(504, late))
        self._watch.add(evaluation)
        try:
            status, answer = 200, b""
            try:
                invocation = self._begin(body, head.headers)
                if invocation.stream:
                    return self._stream(connection, evaluation, invocation.events())
                answer = invocation.answer()
            except Refused as refusal:
                status, answer = refusal.status, refusal.body()
        finally:
            self._watch.remove(evaluation)
            self._slots.give_back()
        return evaluation.write(lambda: connection.answer(status, answer, self._load_after()))

    def _load_after(self) -> str:
        return "x-modelplane-load: %d\r\n" % (self._slots.inside - 1)

    def _stream(
        self, connection: Connection, evaluation: Evaluation, events: Iterator[bytes]
    ) -> bool:
        """Send events as they come; whoever goes away frees the slot with the next one."""
        ending = _chunk(error_event(timed_out()) + DONE) + b"0\r\n\r\n"
        head = _STREAM_HEAD
        try:
            for event in events:
                data = head + _chunk(event)
                seconds = evaluation.deadline - time.monotonic()
                if seconds < 0:
                    evaluation.end()
                send = functools.partial(connection.send, data, seconds)
                if not evaluation.write(send, is_last=False):
                    return False
                if head:
                    head, evaluation.last_words = b"", ending
                if connection.is_gone():
                    raise Gone
            return evaluation.write(lambda: connection.send(b"0\r\n\r\n"))
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                close()


def _whole(status: int, body: bytes) -> bytes:
    head = "HTTP/1.1 %d Gateway Timeout\r\ncontent-type: application/json\r\n" % status
    return ("%scontent-length: %d\r\nconnection: close\r\n\r\n" % (head, len(body))).encode() + body


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
