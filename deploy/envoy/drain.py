"""Lets an Envoy finish the requests in flight before it is stopped.

Used by `up/supervisor.py` and `worker/envoy_process.py`.
"""

import asyncio
import contextlib

from modelplane.deploy.http_client import HttpClient

_POLL_SECONDS = 0.05


async def drain_envoy(
    admin: HttpClient,
    listener: str,
    seconds: float,
    hurry: asyncio.Event,
    notice_seconds: float = 0.0,
) -> None:
    """Report not ready, take no new connection, close idle ones after their next answer, wait.

    Args:
        admin: Envoy's admin page.
        listener: Whose requests are waited for, by the `stat_prefix` of its connections.
        seconds: How long to wait.
        hurry: Ends the wait when set.
        notice_seconds: For how long new connections are still taken, while whoever watches the
            health finds out.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    # Answers on connections that stay open now tell their client to close them.
    await admin.call("POST", "/healthcheck/fail")
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(hurry.wait(), min(notice_seconds, seconds))
    await admin.call("POST", "/drain_listeners")
    while loop.time() < deadline and not hurry.is_set():
        if await _active_requests(admin, listener) == 0:
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _active_requests(admin: HttpClient, listener: str) -> int:
    name = f"http.{listener}.downstream_rq_active"
    answer = await admin.call("GET", f"/stats?format=json&filter=^{name}$")
    if answer.status == 0:
        # An Envoy that is gone has nothing in flight.
        return 0
    stats = (answer.json() or {}).get("stats", [])
    values = [int(stat["value"]) for stat in stats if stat.get("name") == name]
    return values[0] if values else 1
