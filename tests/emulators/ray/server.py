"""The REST API for jobs: ray/dashboard/modules/job/job_head.py."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from tests.emulators.ray import rules
from tests.emulators.ray.cluster import Cluster, Job
from tests.emulators.ray.rules import Document, Refusal

# A job that somebody's program is, as each cluster has some: `get_driver_jobs`, job/utils.py.
_DRIVER: Document = {
    "type": "DRIVER",
    "job_id": "02000000",
    "submission_id": None,
    "driver_info": {"id": "02000000", "node_ip_address": "10.0.0.1", "pid": "77"},
    "status": "RUNNING",
    "entrypoint": "python train.py",
    "message": None,
    "error_type": None,
    "start_time": 1_700_000_000_000,
    "end_time": 0,
    "metadata": {},
    "runtime_env": {},
    "driver_agent_http_address": None,
    "driver_node_id": None,
    "driver_exit_code": None,
}
_MOST_BYTES = 100 * 1024**2  # `DASHBOARD_CLIENT_MAX_SIZE`, ray/_private/ray_constants.py


class Ray:
    """The head.

    Attributes:
        cluster: What it has.
        token: Whom it obeys; empty: everybody, as one without RAY_AUTH_MODE=token.
        requests: Methods and paths that were asked.
        away: Whether it does not answer.
        url: Its own.
    """

    def __init__(self, cluster: Cluster, token: str) -> None:
        self.cluster = cluster
        self.token = token
        self.requests: list[tuple[str, str]] = []
        self.away = False
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        application = web.Application(middlewares=[self._guard], client_max_size=_MOST_BYTES)
        application.router.add_post("/api/jobs/", self._submit)
        application.router.add_get("/api/jobs/", self._list)
        application.router.add_delete("/api/jobs/{id}", self._delete)
        application.router.add_post("/api/jobs/{id}/stop", self._stop)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield
        finally:
            await runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        if self.away:
            assert request.transport
            request.transport.abort()
        try:
            self._authenticate(request)
            return await handler(request)
        except Refusal as refusal:
            return web.Response(text=refusal.text, status=refusal.status)

    def _authenticate(self, request: web.Request) -> None:
        """As ray/_private/authentication/http_token_authentication.py does."""
        if not self.token:
            return
        header = request.headers.get("Authorization", "")
        if not header:
            raise Refusal(401, "Unauthorized: Missing authentication token")
        if header != f"Bearer {self.token}":
            raise Refusal(403, "Forbidden: Invalid authentication token")
        # `is_browser_request`, ray/dashboard/optional_utils.py
        if request.headers.get("User-Agent", "").startswith("Mozilla"):
            raise Refusal(405, f"'{request.method}' method not allowed for browser traffic.")

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        name = self.cluster.submit(rules.check_request(await request.json()))
        return web.json_response({"job_id": name, "submission_id": name})

    async def _list(self, _: web.Request) -> web.StreamResponse:
        submitted = [job.details() for job in self.cluster.jobs.values()]
        return web.json_response([*submitted, _DRIVER])

    async def _stop(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"stopped": self.cluster.stop(self._find(request))})

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        job, name = self._find(request), request.match_info["id"]
        if not job.is_terminal:
            # `delete_job`, job_manager.py, which the agent answers with 500.
            raise Refusal(
                500,
                "RuntimeError: Request failed with status code 500: RuntimeError: Attempted to "
                f"delete job '{name}', but it is in a non-terminal state {job.status}.\n.\n",
            )
        del self.cluster.jobs[name]
        return web.json_response({"deleted": True})

    def _find(self, request: web.Request) -> Job:
        name = request.match_info["id"]
        if name == _DRIVER["job_id"]:
            raise Refusal(400, "Can only stop or delete submission type jobs")
        if name not in self.cluster.jobs:
            raise Refusal(404, f"Job {name} does not exist")
        return self.cluster.jobs[name]
