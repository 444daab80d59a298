"""Whether a replica that was ready still works: its server is asked every few seconds.

Used by `replica.py`.
"""

import asyncio
from http import HTTPStatus
from ssl import SSLContext

_PROBE_SECONDS = 3.0
_ANSWER_SECONDS = 5.0
# A server that says so once may be about to get a slot back.
_TIMES = 3
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
        status = await _ping(address, tls)
        if status:
            answered = loop.time()
        refusals = refusals + 1 if status == HTTPStatus.SERVICE_UNAVAILABLE else 0
        if refusals == _TIMES:
            return "was ended: it hangs, with requests whose time is over in all its slots"
        if loop.time() - answered > evaluation_seconds + _ANSWER_SECONDS:
            return "was ended: it answers nothing any more"


async def _ping(address: str, tls: SSLContext | None) -> int:
    """Return the status that a server answers with; 0: it does not answer."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=tls)
            try:
                writer.write(_PING)
                line = await reader.readline()
            finally:
                writer.close()
        return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        return 0
