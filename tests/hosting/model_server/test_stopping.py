"""A server that is told to end while its model does not come back."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from modelplane.launcher.model_server.last_asked import LastAsked
from modelplane.launcher.model_server.server import Limits, Server


class Endless:
    """What is asked of a model that comes back only when it is let."""

    stream = False

    def __init__(self) -> None:
        self.let = threading.Event()

    def answer(self) -> bytes:
        self.let.wait()
        return b"{}"

    def events(self) -> Iterator[bytes]:
        raise NotImplementedError


def test_it_does_not_wait_for_what_was_told_that_its_time_is_over() -> None:
    asked = Endless()
    server = Server(lambda *_: asked, "", Limits(1, 0.1), LastAsked(""))
    port = server.listen("127.0.0.1", 0)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", b"{}", method="POST")
    try:
        with pytest.raises(urllib.error.HTTPError, match="504"):
            urllib.request.urlopen(request, timeout=60)
        server.stop()
        assert not asked.let.is_set()
    finally:
        asked.let.set()
