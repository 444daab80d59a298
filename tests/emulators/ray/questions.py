"""What a REST API of Ray is asked, emulated or real, and what it has to answer."""

import asyncio
from typing import Any

import aiohttp

TOKEN = "cluster-token"
ENDLESS = "exec sleep 600"
FAILING = "echo a last word; exit 7"
_WELL: dict[str, Any] = {
    "entrypoint": ENDLESS,
    "submission_id": "modelplane-q-0",
    "metadata": {"a": "b"},
    "runtime_env": {"env_vars": {"A": "B"}},
    "entrypoint_num_cpus": 0.5,
    "entrypoint_memory": 1 << 20,
    "entrypoint_label_selector": {"ray.io/node-id": f"!in({'a' * 56},{'b' * 56})"},
}
# What is changed of a job that is well, and the status and a part of the answer.
_REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"entrypoint": None}, 400, "TypeError"),
    ({"entrypoint": 1}, 400, "TypeError"),
    ({"unknown": 1}, 400, "unexpected keyword argument 'unknown'"),
    ({"metadata": {"a": 1}}, 400, "TypeError: metadata values"),
    ({"runtime_env": "x"}, 400, "TypeError: runtime_env"),
    ({"entrypoint_memory": 1.5}, 400, "TypeError: entrypoint_memory"),
    ({"entrypoint_num_cpus": "1"}, 400, "TypeError: entrypoint_num_cpus"),
    ({"entrypoint_label_selector": {"a": 1}}, 400, "TypeError: entrypoint_label_selector"),
    ({"entrypoint_label_selector": {"a": "b c"}}, 500, "status code 400"),
    ({"entrypoint_label_selector": {"-a": "b"}}, 500, "status code 400"),
]


class _Asker:
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, method: str, path: str = "", **others: Any) -> tuple[int, str]:
        async with self._session.request(method, f"{self._url}/api/jobs/{path}", **others) as found:
            return found.status, await found.text()

    async def job(self, name: str) -> dict[str, Any]:
        async with self._session.get(f"{self._url}/api/jobs/") as found:
            [job] = [one for one in await found.json() if one["submission_id"] == name]
            assert isinstance(job, dict)
            return job

    async def until(self, name: str, status: str) -> dict[str, Any]:
        async with asyncio.timeout(120):
            while (job := await self.job(name))["status"] != status:
                await asyncio.sleep(0.1)
        return job


async def ask_all(url: str, token: str) -> None:
    """Ask everything that the backend for Ray relies on."""
    async with aiohttp.ClientSession() as session:
        asker = _Asker(session, url)
        assert (await asker.ask("GET"))[0] == 401
        wrong = {"Authorization": "Bearer another"}
        assert (await asker.ask("GET", headers=wrong))[0] == 403
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        asker = _Asker(session, url)
        await _ask_refused(asker)
        await _ask_of_one_that_runs(asker)
        await _ask_of_one_that_fails(asker)
        await _ask_of_one_that_waits(asker)


async def _ask_refused(asker: _Asker) -> None:
    for change, status, told in _REFUSED:
        found = await asker.ask("POST", json=_WELL | change)
        assert found[0] == status, (change, found)
        assert told in found[1], (change, found)
    for method, path in (("POST", "nobody/stop"), ("DELETE", "nobody")):
        assert await asker.ask(method, path) == (404, "Job nobody does not exist")
    browser = {"User-Agent": "Mozilla/5.0"}
    assert (await asker.ask("POST", json=_WELL, headers=browser))[0] == 405


async def _ask_of_one_that_runs(asker: _Asker) -> None:
    name = _WELL["submission_id"]
    status, told = await asker.ask("POST", json=_WELL)
    assert (status, name in told) == (200, True), told
    status, told = await asker.ask("POST", json=_WELL)
    assert (status, "status code 400" in told, "already exists" in told) == (500, True, True)
    job = await asker.until(name, "RUNNING")
    assert job["type"] == "SUBMISSION"
    assert job["metadata"] == _WELL["metadata"]
    assert job["runtime_env"]["env_vars"] == {"A": "B"}
    assert job["driver_agent_http_address"].startswith("http://")
    assert len(job["driver_node_id"]) == 56
    assert (await asker.ask("DELETE", name))[0] == 500
    assert await asker.ask("POST", f"{name}/stop") == (200, '{"stopped": true}')
    job = await asker.until(name, "STOPPED")
    assert job["message"] == "Job was intentionally stopped."
    assert await asker.ask("DELETE", name) == (200, '{"deleted": true}')
    assert (await asker.ask("DELETE", name))[0] == 404


async def _ask_of_one_that_fails(asker: _Asker) -> None:
    name = "modelplane-q-1"
    failing = {**_WELL, "entrypoint": FAILING, "submission_id": name}
    assert (await asker.ask("POST", json=failing))[0] == 200
    job = await asker.until(name, "FAILED")
    assert "failed with exit code 7, last available logs" in job["message"]
    assert "a last word" in job["message"]
    assert (job["driver_exit_code"], job["error_type"]) == (7, "JOB_ENTRYPOINT_COMMAND_ERROR")
    assert (await asker.ask("DELETE", name))[0] == 200


async def _ask_of_one_that_waits(asker: _Asker) -> None:
    name = "modelplane-q-2"
    waiting = {**_WELL, "submission_id": name, "entrypoint_num_cpus": 1000}
    assert (await asker.ask("POST", json=waiting))[0] == 200
    job = await asker.job(name)
    assert job["status"] == "PENDING"
    assert "waiting for resources" in job["message"]
    assert (job["driver_agent_http_address"], job["driver_node_id"]) == (None, None)
    # It has not started, so that it cannot be stopped either: it goes on waiting.
    assert (await asker.ask("POST", f"{name}/stop"))[0] == 200
    assert (await asker.ask("DELETE", name))[0] == 500
    assert (await asker.job(name))["status"] == "PENDING"
