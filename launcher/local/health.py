"""Whether a replica that was ready still works, and whether one that does not end has work to do.

Its server is asked every few seconds.

Used by `replica.py`.
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from ssl import SSLContext

from modelserving.launcher.v1.launcher_service_pb2 import EngineFigures

_PROBE_SECONDS = 3.0
_ANSWER_SECONDS = 5.0
# A server that says so once may be about to get a slot back, and one that did not answer once may
# not have been asked: it is this process, too, that may not run for a while.
_TIMES = 3
_IDLE_SECONDS = 1.0
_LOAD = re.compile(rb"\r\nx-modelplane-load: (\d{1,6})\r\n", re.IGNORECASE)
_PING = b"GET /ping HTTP/1.1\r\nhost: replica\r\nconnection: close\r\n"
_MOST_BODY = 8 * 1024
_COUNTS = [
    field.name for field in EngineFigures.DESCRIPTOR.fields if field.name != "kv_cache_usage"
]


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told of an engine.

    Attributes:
        token: The server's, without which it says nothing of it.
        figures: Takes what it says.
    """

    token: str
    figures: Callable[[EngineFigures], None]


async def until_hanging(
    address: str, evaluation_seconds: float, told: Told, tls: SSLContext | None = None
) -> str:
    """Return once a server hangs, with the reason in words.

    Args:
        address: Where it listens.
        evaluation_seconds: How long a request may take: a model that keeps Python to itself for as
            long may keep its server from answering.
        told: Asked with the server's token, and told what it says of its engine.
        tls: What is believed of it; None: it speaks no TLS.
    """
    loop = asyncio.get_running_loop()
    answered = loop.time()
    refusals = silences = 0
    while True:
        await asyncio.sleep(_PROBE_SECONDS)
        status, _, said = await _ping(address, tls, told.token)
        silences = 0 if status else silences + 1
        if status:
            answered = loop.time()
        if figures := _figures(said):
            told.figures(figures)
        refusals = refusals + 1 if status == HTTPStatus.SERVICE_UNAVAILABLE else 0
        if refusals == _TIMES:
            return "was ended: it hangs, with requests whose time is over in all its slots"
        is_overdue = loop.time() - answered > evaluation_seconds + _ANSWER_SECONDS
        if is_overdue and silences >= _TIMES:
            return "was ended: it answers nothing any more"


async def until_idle(address: str, tls: SSLContext | None = None) -> None:
    """Return once a server that was told to end is there all the same, with nothing to answer.

    One that does end takes no connection any more, and is not to be hurried.

    Args:
        address: Where it listens.
        tls: How it is known, where it is asked over TLS.
    """
    times = 0
    while times < _TIMES:
        await asyncio.sleep(_IDLE_SECONDS)
        _, load, _ = await _ping(address, tls)
        times = times + 1 if load == 0 else 0


async def _ping(
    address: str, tls: SSLContext | None, token: str = ""
) -> tuple[int, int | None, bytes]:
    """Return a server's status, how many requests it says are in it, and its body.

    The status is 0 where it does not answer; the number is None where it does not say.
    """
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=tls)
            try:
                known = f"authorization: Bearer {token}\r\n" if token else ""
                writer.write(_PING + known.encode() + b"\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.read(_MOST_BODY)
            finally:
                writer.close()
        load = _LOAD.search(head)
        return int(head.split()[1]), int(load[1]) if load else None, body
    except (OSError, EOFError, asyncio.LimitOverrunError, ValueError, IndexError):
        return 0, None, b""


def _figures(body: bytes) -> EngineFigures | None:
    """Return what a server says of its engine; None: nothing, or what cannot be so."""
    try:
        said = json.loads(body or b"{}").get("engine")
        return (
            EngineFigures(
                **{name: int(said[name]) for name in _COUNTS if name in said},
                kv_cache_usage=float(said.get("kv_cache_usage", 0)),
            )
            if said
            else None
        )
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
