"""What an Envoy is asked, and told, on its admin page.

https://www.envoyproxy.io/docs/envoy/latest/operations/admin. Used by `parts.py`.
"""

import asyncio
from typing import Any

from modelplane.deploy.envoy.clusters import WORKERS
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.http_client import HttpClient

_POLL_SECONDS = 0.05
# What the public port counts under, as `deploy/envoy/listener.py` names it.
_ACTIVE = "http.public.downstream_rq_active"


class EnvoyAdmin:
    """The admin page of one Envoy, or of the one that takes its place."""

    def __init__(self, address: Address) -> None:
        self._client = HttpClient(address)

    async def is_live(self, epoch: int) -> bool:
        """Return whether an Envoy of this restart epoch serves."""
        found = await self._ask("/server_info")
        told = found.get("command_line_options", {}).get("restart_epoch", -1)
        return bool(found.get("state") == "LIVE" and told == epoch)

    async def workers(self) -> dict[str, bool]:
        """Return the paths of the workers that Envoy knows, and whether each gets requests."""
        found = await self._ask("/clusters?format=json")
        return {
            host["address"].get("pipe", {}).get("path", ""): set(host["health_status"])
            <= {"eds_health_status"}
            for cluster in found.get("cluster_statuses", [])
            if cluster["name"] == WORKERS
            for host in cluster.get("host_statuses", [])
        }

    async def drain(self, seconds: float, hurry: asyncio.Event) -> None:
        """Report not ready, take no new connection, close each after its next answer, wait.

        Args:
            seconds: How long to wait for the requests in flight.
            hurry: Ends the wait when set.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        await self._client.call("POST", "/healthcheck/fail")
        await self._client.call("POST", "/drain_listeners")
        while asyncio.get_running_loop().time() < deadline and not hurry.is_set():
            if await self._active_requests() == 0:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _active_requests(self) -> int:
        answer = await self._client.call("GET", f"/stats?format=json&filter=^{_ACTIVE}$")
        if answer.status == 0:
            # An Envoy that is gone has nothing in flight.
            return 0
        stats = (answer.json() or {}).get("stats", [])
        values = [int(stat["value"]) for stat in stats if stat.get("name") == _ACTIVE]
        return values[0] if values else 1

    async def _ask(self, path: str) -> dict[str, Any]:
        answer = await self._client.call("GET", path)
        found = answer.json() if answer.ok else None
        return found if isinstance(found, dict) else {}
