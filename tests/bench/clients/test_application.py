"""The application relays what a client gets, whichever client it is."""

import pytest

from bench.clients.application import Application, Event
from bench.mock_provider import MockProvider, StreamShape

REQUEST = b'{"model": "m", "stream": %b}'


class Server:
    """Runs an application as an ASGI server does."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.sent: list[Event] = []

    async def request(self, path: str, target: str, body: bytes) -> None:
        parts = [(body[:9], True), (body[9:], False)]
        events: list[Event] = [
            {"type": "http.request", "body": part, "more_body": more} for part, more in parts
        ]
        headers = [(b"x-target", target.encode())]
        await self._run({"type": "http", "path": path, "headers": headers}, events)

    async def live(self, path: str, target: str, body: bytes) -> None:
        """Start, take one request, and stop."""

        async def receive() -> Event:
            if self.sent:
                self.sent.clear()
                await self.request(path, target, body)
                self.answer = list(self.sent)
            return {"type": "lifespan"}

        async def send(event: Event) -> None:
            self.sent.append(event)

        await self._application({"type": "lifespan"}, receive, send)

    async def _run(self, scope: Event, events: list[Event]) -> None:
        async def receive() -> Event:
            return events.pop(0)

        async def send(event: Event) -> None:
            self.sent.append(event)

        await self._application(scope, receive, send)


@pytest.mark.parametrize("name", ["own", "aiohttp", "pyqwest"])
async def test_a_whole_answer_is_one_message(name: str) -> None:
    async with MockProvider(StreamShape()) as provider:
        server = Server(Application(name))
        await server.live("/whole", f"{provider.url}/v1/chat/completions", REQUEST % b"false")
    start, body = server.answer
    assert start["status"] == 200
    assert b'"model":"m"' in body["body"]
    assert not body["more_body"]


@pytest.mark.parametrize("name", ["own", "aiohttp", "pyqwest"])
async def test_the_chunks_of_a_stream_come_as_they_are(name: str) -> None:
    async with MockProvider(StreamShape(chunks=3, interval_seconds=0.01)) as provider:
        server = Server(Application(name))
        await server.live("/stream", f"{provider.url}/v1/chat/completions", REQUEST % b"true")
    start, *bodies, last = server.answer
    assert start["status"] == 200
    assert b"".join(body["body"] for body in bodies).count(b"data: ") == 4
    assert all(body["more_body"] for body in bodies)
    assert (last["body"], last["more_body"]) == (b"", False)
