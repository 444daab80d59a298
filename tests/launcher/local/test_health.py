"""What a replica's server says when it is asked, whatever its model has made of it."""

import asyncio
from collections.abc import Iterator

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import EngineFigures

from modelplane.launcher.local import health
from modelplane.launcher.local.health import Told, until_hanging

_WELL = b'{"status": "healthy", "engine": {"prompt_tokens": 7}}'
_ODD = (
    # As deep as an answer has room for.
    b"[" * 8_000,
    b'{"engine": {"prompt_tokens": 1e400}}',
    b'{"engine": {"prompt_tokens": 9223372036854775808}}',
    b'{"engine": [1]}',
    b"\xff",
)


def _answers() -> Iterator[tuple[bytes, bytes]]:
    yield from ((b"200", body) for body in (*_ODD, _WELL))
    while True:
        yield b"503", b"{}"


async def test_whatever_a_server_says_of_its_engine_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "_PROBE_SECONDS", 0.0)
    answers = _answers()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, body = next(answers)
        writer.write(b"HTTP/1.1 %s x\r\nx-modelplane-load: 1\r\n\r\n%s" % (status, body))
        writer.close()

    told: list[EngineFigures] = []
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        found = await until_hanging(f"{host}:{port}", 60, Told("token", told.append))
    assert "it hangs" in found
    assert told == [EngineFigures(prompt_tokens=7)]


async def test_a_launcher_that_did_not_run_for_a_while_ends_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "_PROBE_SECONDS", 0.0)
    monkeypatch.setattr(health, "_ANSWER_SECONDS", 0.0)
    statuses = iter([200, 0, 0, 200, 0, 0, 200, 0, 0, 0])

    async def ping(*_: object) -> tuple[int, None, bytes]:
        return next(statuses), None, b""

    monkeypatch.setattr(health, "_ping", ping)
    # No request takes any time here: each that is not answered is overdue.
    found = await until_hanging("127.0.0.1:1", 0.0, Told("", lambda _: None))
    assert "answers nothing" in found
    assert not list(statuses)
