"""Whether a replica that was ready still works, and whether one that does not end has work to do.

Its server is asked every few seconds.

Used by `replica.py`.
"""

import asyncio
import re
from http import HTTPStatus
from ssl import SSLContext

_PROBE_SECONDS = 3.0
_ANSWER_SECONDS = 5.0
# A server that says so once may be about to get a slot back.
_TIMES = 3
_IDLE_SECONDS = 1.0
_LOAD = re.compile(rb"\r\nx-modelplane-load: (\d{1,6})\r\n", re.IGNORECASE)
_PING = b"GET /ping HTTP/1.1\r\nhost: replica\r\nconnection: close\r\n\r\n"


async def until_hanging(
    address: str, evaluation_seconds: float, tls: SSLContext | None = None
) -> str:
    """Return once a server hangs, with the reason in words.

    Args:
        address: Where it listens.
        evaluation_seconds: How long a request may take: a model that keeps Python to itself for as
            long may keep its server from answering.
        tls: What is believed of it; None: it speaks no TLS.
    """
    loop = asyncio.get_running_loop()
    answered = loop.time()
    refusals = 0
    while True:
        await asyncio.sleep(_PROBE_SECONDS)
        status, _ = await _ping(address, tls)
        if status:
            answered = loop.time()
        refusals = refusals + 1 if status == HTTPStatus.SERVICE_UNAVAILABLE else 0
        if refusals == _TIMES:
            return "was ended: it hangs, with requests whose time is over in all its slots"
        if loop.time() - answered > evaluation_seconds + _ANSWER_SECONDS:
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
        _, load = await _ping(address, tls)
        times = times + 1 if load == 0 else 0


async def _ping(address: str, tls: SSLContext | None) -> tuple[int, int | None]:
    """Return the status that a server answers with, and how many requests it says are in it.

    The status is 0 where it does not answer; the number is None where it does not say.
    """
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=tls)
            try:
                writer.write(_PING)
                head = await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
        load = _LOAD.search(head)
        return int(head.split()[1]), int(load[1]) if load else None
    except (OSError, EOFError, asyncio.LimitOverrunError, ValueError, IndexError):
        return 0, None
