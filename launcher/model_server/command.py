"""A model that is served by a command of its own (`metadata.entrypoint`), in a process below this.

The convention: it starts in the model's folder, and listens on 8080 with an API like OpenAI's at
`/invocations`. Several replicas share this machine, so each has a port of its own: that is in
`PORT`, and in the place of each 8080 that the command names. Bodies and answers pass as they are.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
from typing import Iterator, Mapping, NamedTuple

from .child import Child, Place, Said
from .invocation import DONE, error_event
from .refusals import Refused, bad_request

_PORT = re.compile(r"(?<![\w.])8080(?![\w.])")
_PATH = "/invocations"
_ARTIFACTS = "artifacts"
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_ERRORS = (b'data: {"error":', b'data: {"object":"error"')


class Options(NamedTuple):
    """How a model is served.

    Attributes:
        command: For a shell.
        model: The model's folder.
        evaluation_seconds: How long a request may take.
    """

    command: str
    model: str
    evaluation_seconds: float


class Command:
    """A model whose command runs."""

    def __init__(self, options: Options) -> None:
        """Start the command, and wait until it listens.

        Raises:
            Exception: It has ended.
        """
        port = _free_port()
        # What a model has saved beside its own files is usually there.
        artifacts = os.path.join(options.model, _ARTIFACTS)
        folder = artifacts if os.path.isdir(artifacts) else options.model
        shell = ("/bin/sh", "-c", _PORT.sub(str(port), options.command))
        place = Place("", port, "/health")
        self.child = Child(shell, place, folder, {"PORT": str(port)})
        self._seconds = options.evaluation_seconds

    def begin(self, body: bytes, headers: Mapping[str, str]) -> Passing:
        """Return what passes a body on; what is in it is the command's matter."""
        del headers
        return Passing(self.child, body, self._seconds)


class Passing:
    """One request that is passed on."""

    def __init__(self, child: Child, body: bytes, seconds: float) -> None:
        self._child = child
        self._body = body
        self._seconds = seconds
        self.stream = _wants_stream(body)

    def answer(self) -> bytes:
        """Return the answer.

        Raises:
            Refused: There is none.
        """
        return self._ask().whole()

    def events(self) -> Iterator[bytes]:
        """Return the answer as events; what fails before the first one is a refusal.

        Raises:
            Refused: There is no answer, or it does not come in events.
        """
        said = self._ask()
        if not said.is_stream:
            said.some(0)
            raise bad_request("The model does not answer in a stream.")
        events = filter(None, said.events())
        return self._rest(said, next(events, b""), events)

    def _ask(self) -> Said:
        return self._child.ask(_PATH, self._body, self._seconds)

    def _rest(self, said: Said, first: bytes, events: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for event in itertools.chain([first], events):
                if event.startswith(_ERRORS):
                    raise said.failed(event[len(b"data: ") :])
                yield event + b"\n\n"
        except Refused as refusal:
            yield error_event(refusal)
            yield DONE


def _wants_stream(body: bytes) -> bool:
    """Tell whether a body asks for a stream; what is no JSON does not."""
    if not _STREAM.search(body):
        return False
    try:
        asked = json.loads(body)
    except ValueError:
        return False
    return isinstance(asked, dict) and asked.get("stream") is True


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
