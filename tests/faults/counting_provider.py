"""A provider that counts: each prompt has its own number of tokens, and every call is noted."""

import asyncio
import json
from typing import Self

from aiohttp import web

_CHUNKS = 4
_PAUSE_SECONDS = 0.005


def tokens_of(number: int) -> tuple[int, int]:
    """Return the tokens of prompt and answer of the query with a number."""
    return number + 1, 2 * number + 3


class CountingProvider:
    """Speaks just enough of OpenAI's API; the prompt is the number of the query.

    Attributes:
        seen: How often each query has arrived.
    """

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        assert self._runner is not None
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        number = int(body["messages"][0]["content"])
        self.seen[number] = self.seen.get(number, 0) + 1
        prompt, completion = tokens_of(number)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        head = {"id": f"chatcmpl-{number}", "created": 1_700_000_000, "model": "m"}
        if body.get("stream"):
            return await self._stream(request, head, usage)
        message = {"role": "assistant", "content": "answer"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await asyncio.sleep(_PAUSE_SECONDS)
        answer = {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        return web.json_response(answer)

    async def _stream(
        self, request: web.Request, head: dict[str, object], usage: dict[str, int]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        kind = {**head, "object": "chat.completion.chunk"}
        for at in range(_CHUNKS):
            last = at == _CHUNKS - 1
            choice = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
            if last:
                choice["finish_reason"] = "stop"
            await response.write(_event({**kind, "choices": [choice]}))
            await asyncio.sleep(_PAUSE_SECONDS)
        await response.write(_event({**kind, "choices": [], "usage": usage}))
        await response.write(b"data: [DONE]\n\n")
        return response


def _event(document: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"
