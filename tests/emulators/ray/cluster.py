"""The machines of a Ray cluster, on which supervisors run jobs.

What a supervisor does is of ray/dashboard/modules/job/job_supervisor.py, and who looks after it of
job_manager.py. Times are shorter.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.emulators.ray import rules
from tests.emulators.ray.rules import Document

HEAD = "10.0.0.1:6379"
_STEP_SECONDS = 0.05
# `JOB_MONITOR_LOOP_PERIOD_S` is a second.
_MONITOR_SECONDS = 0.2
# `DEFAULT_RAY_JOB_STOP_WAIT_TIME_S`
_STOP_SECONDS = 3
# `NUM_LOG_LINES_ON_ERROR`, job_log_storage_client.py
_LAST_LINES = 10
_WAITING = (
    "Job has not started yet. It may be waiting for resources (CPUs, GPUs, memory, custom "
    "resources) to become available. It may be waiting for the runtime environment to be set up."
)
_MESSAGES = {
    "PENDING": _WAITING,
    "RUNNING": "Job is currently running.",
    "STOPPED": "Job was intentionally stopped.",
    "SUCCEEDED": "Job finished successfully.",
}
_TERMINAL = ("STOPPED", "SUCCEEDED", "FAILED")


@dataclass(eq=False)
class Node:
    """A machine.

    Attributes:
        address: Its own.
        cpus: Processors.
        memory: Bytes.
        gpus: Accelerators.
        labels: Its labels, beside those that Ray gives.
        id: Ray's identifier.
        answers: Whether it does; Ray may not know yet that it does not.
        is_known_dead: Whether Ray knows.
    """

    address: str
    cpus: float = 16
    memory: int = 1 << 40
    gpus: float = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    id: str = field(default_factory=lambda: secrets.token_hex(28))
    answers: bool = True
    is_known_dead: bool = False


@dataclass(eq=False)
class Process:
    """The command of a job that is to run.

    Attributes:
        entrypoint: The command.
        environment: Its variables.
        node: Where it runs.
        stop: Set when it is told to end (SIGTERM).
        killed: Set when its machine is lost: it ends without another word.
        say: Adds to its log.
    """

    entrypoint: str
    environment: Mapping[str, str]
    node: Node
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    killed: asyncio.Event = field(default_factory=asyncio.Event)
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)


# Runs a command, and returns its exit status.
Run = Callable[[Process], Awaitable[int]]


def _now() -> int:
    return int(1000 * datetime.now(UTC).timestamp())


@dataclass(eq=False)
class Job:
    """A job that was submitted."""

    request: Document
    status: str = "PENDING"
    message: str = _WAITING
    error_type: str | None = None
    started: int = field(default_factory=_now)
    ended: int | None = None
    exit_code: int | None = None
    node: Node | None = None
    process: Process | None = None
    # What its supervisor is told before it has started, it does then.
    is_to_stop: bool = False

    @property
    def is_terminal(self) -> bool:
        return self.status in _TERMINAL

    def put(self, status: str, message: str = "", error_type: str | None = None) -> None:
        """Change its status: `put_status`, job/common.py."""
        assert not self.is_terminal
        self.status, self.error_type = status, error_type
        self.message = message or _MESSAGES[status]
        if self.is_terminal:
            self.ended = _now()

    def details(self) -> Document:
        """Return it as it is told: `JobDetails`, job/pydantic_models.py."""
        address = f"http://{self.node.address}:52365" if self.node else None
        return {
            "type": "SUBMISSION",
            "job_id": None,
            "submission_id": self.request["submission_id"],
            "driver_info": None,
            "status": self.status,
            "entrypoint": self.request["entrypoint"],
            "message": self.message,
            "error_type": self.error_type,
            "start_time": self.started,
            "end_time": self.ended,
            "metadata": self.request.get("metadata"),
            "runtime_env": self.request.get("runtime_env"),
            "driver_agent_http_address": address,
            "driver_node_id": self.node.id if self.node else None,
            "driver_exit_code": self.exit_code,
        }


class Cluster:
    """Machines and jobs.

    Attributes:
        nodes: The machines.
        jobs: By submission id.
        run: Runs commands.
        remnants: How many jobs have come back after they were forgotten.
    """

    def __init__(self, run: Run, *nodes: Node) -> None:
        self.nodes = list(nodes)
        self.jobs: dict[str, Job] = {}
        self.run = run
        self.remnants = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def work(self) -> None:
        """Place and run jobs, until cancelled; then all ends."""
        try:
            while True:
                for job in list(self.jobs.values()):
                    if job.status == "PENDING" and job.node is None:
                        self._place(job)
                await asyncio.sleep(_STEP_SECONDS)
        finally:
            for node in self.nodes:
                self.cut(node)
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def submit(self, request: Document) -> str:
        """Take a job: `submit_job`, job_manager.py."""
        rules.check_labels(request.get("entrypoint_label_selector") or {})
        name = request.setdefault("submission_id", f"raysubmit_{secrets.token_hex(8)}")
        if name in self.jobs:
            raise rules.passed_on(
                f"ValueError: Job with submission_id {name} already exists. "
                "Please use a different submission_id."
            )
        job = self.jobs[name] = Job(request)
        if broken := rules.broken_environment(request.get("runtime_env") or {}):
            message = f"Failed to start supervisor actor {name}: '{broken}'"
            job.put("FAILED", message, "JOB_SUPERVISOR_ACTOR_START_FAILURE")
        return str(name)

    def stop(self, job: Job) -> bool:
        """Tell a job's supervisor to end it, if there is one: `stop_job`, job_manager.py."""
        job.is_to_stop = True
        if job.process is not None:
            job.process.stop.set()
        return not job.is_terminal

    def cut(self, node: Node) -> None:
        """Lose a machine, without Ray's knowledge."""
        node.answers = False
        for job in self.jobs.values():
            if job.node is node and job.process:
                job.process.killed.set()

    def notice(self, node: Node) -> None:
        """Let Ray find out that a machine is lost."""
        node.is_known_dead = True
        for job in self.jobs.values():
            if job.node is node and not job.is_terminal:
                message = f"Job supervisor actor died: The node {node.id} is dead."
                job.put("FAILED", message, "JOB_SUPERVISOR_ACTOR_DIED")

    def start_anew(self) -> None:
        """Lose the head, and have another one that knows nothing of what was."""
        self.jobs = {}

    def _place(self, job: Job) -> None:
        node = next((one for one in self.nodes if self._fits(job, one)), None)
        if node is None:
            return
        job.node = node
        if node.answers:
            task = asyncio.create_task(self._supervise(job, node))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _fits(self, job: Job, node: Node) -> bool:
        there = [one for one in self.jobs.values() if one.node is node and not one.is_terminal]
        labels = {**node.labels, "ray.io/node-id": node.id}
        return (
            not node.is_known_dead
            and rules.selects(job.request.get("entrypoint_label_selector") or {}, labels)
            and all(
                sum(one.request.get(name) or 0 for one in [*there, job]) <= room
                for name, room in (
                    ("entrypoint_num_cpus", node.cpus),
                    ("entrypoint_memory", node.memory),
                    ("entrypoint_num_gpus", node.gpus),
                )
            )
        )

    async def _supervise(self, job: Job, node: Node) -> None:
        await self._run(job, node)
        await asyncio.sleep(_MONITOR_SECONDS)
        if node.answers:
            self._monitor(job)

    def _monitor(self, job: Job) -> None:
        """Find a supervisor's end, and take it for a death: `_monitor_job_internal`.

        It goes by the id alone: without a record it writes one, with little in it, and one that
        another job has by now it spoils.
        """
        name = job.request["submission_id"]
        found = self.jobs.get(name)
        if found is None:
            self.remnants += 1
            request = {"submission_id": name, "entrypoint": "Entrypoint not found."}
            found = self.jobs[name] = Job(request)
        if not found.is_terminal:
            message = "Job supervisor actor died: The actor died unexpectedly."
            found.put("FAILED", message, "JOB_SUPERVISOR_ACTOR_DIED")

    async def _run(self, job: Job, node: Node) -> None:
        given: dict[str, Any] = (job.request.get("runtime_env") or {}).get("env_vars") or {}
        environment = {**given, "RAY_ADDRESS": HEAD, "PYTHONUNBUFFERED": "1"}
        job.process = process = Process(job.request["entrypoint"], environment, node)
        job.put("RUNNING")
        if job.is_to_stop:
            process.stop.set()
        running = asyncio.ensure_future(self.run(process))
        stopping = asyncio.create_task(process.stop.wait())
        await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if process.stop.is_set() and not running.done():
            seconds = float(given.get("RAY_JOB_STOP_WAIT_TIME_S", _STOP_SECONDS))
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(running), seconds)
            process.killed.set()
        status = await running
        if not node.answers or job.is_terminal:
            return
        if process.stop.is_set():
            job.put("STOPPED")
        elif status == 0:
            job.exit_code = 0
            job.put("SUCCEEDED")
        else:
            job.exit_code = status
            lines = "".join(process.said).splitlines(keepends=True)[-_LAST_LINES:]
            message = (
                f"Job entrypoint command failed with exit code {status}, last available logs "
                f"(truncated to 20,000 chars):\n{''.join(lines)}"
            )
            job.put("FAILED", message, "JOB_ENTRYPOINT_COMMAND_ERROR")
