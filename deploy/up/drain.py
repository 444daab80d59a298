"""Lets Envoy finish the requests in flight before it is stopped; used by `supervisor.py`."""

import asyncio

from deploy.up.http_client import HttpClient

_ACTIVE = "http.public.downstream_rq_active"
_POLL_SECONDS = 0.05


async def drain_envoy(admin: HttpClient, seconds: float, hurry: asyncio.Event) -> None:
    """Take no new connection, close idle ones after their next answer, wait for the rest.

    Args:
        admin: Envoy's admin page.
        seconds: How long to wait.
        hurry: Ends the wait when set.
    """
    # Answers on connections that stay open now tell their client to close them.
    await admin.call("POST", "/healthcheck/fail")
    await admin.call("POST", "/drain_listeners")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while loop.time() < deadline and not hurry.is_set():
        if await _active_requests(admin) == 0:
            return
        await asyncio.sleep(_POLL_SECONDS)


async def _active_requests(admin: HttpClient) -> int:
    answer = await admin.call("GET", f"/stats?format=json&filter=^{_ACTIVE}$")
    if answer.status == 0:
        # An Envoy that is gone has nothing in flight.
        return 0
    stats = (answer.json() or {}).get("stats", [])
    values = [int(stat["value"]) for stat in stats if stat.get("name") == _ACTIVE]
    return values[0] if values else 1
