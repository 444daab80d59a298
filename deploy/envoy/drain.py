"""Lets an Envoy finish the requests in flight before it is stopped.

Used by `up/supervisor.py`.
"""

import asyncio

from modelplane.deploy.http_client import HttpClient

_POLL_SECONDS = 0.05


async def drain_envoy(
    admin: HttpClient, listener: str, seconds: float, hurry: asyncio.Event
) -> None:
    """Report not ready, take no new connection, close idle ones after their next answer, wait.

    Args:
        admin: Envoy's admin page.
        listener: Whose requests are waited for, by the `stat_prefix` of its connections.
        seconds: How long to wait.
        hurry: Ends the wait when set.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    # Answers on connections that stay open now tell their client to close them.
    await admin.call("POST", "/healthcheck/fail")
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
