"""Starts all parts in order, keeps them running, and stops them without losing a request.

`run` opens the data directory, builds the `plan`, starts a `Child` for each part, waits until a
request through Envoy works, greets the user, and drains at the end.
"""

import asyncio
import contextlib
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelplane.deploy.child import Child
from modelplane.deploy.envoy.config import render, render_secret, render_workers
from modelplane.deploy.envoy.drain import drain_envoy
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.envoy.public_tls import checked
from modelplane.deploy.http_client import HttpClient
from modelplane.deploy.up import greeting
from modelplane.deploy.up.data_dir import DataDir, opened
from modelplane.deploy.up.options import UpError, UpOptions
from modelplane.deploy.up.plan import (
    CONTROL_PLANE,
    ENVOY,
    LISTEN,
    LOCAL_MODEL,
    LOCAL_MODEL_ORIGIN,
    Plan,
    Tokens,
    port_names,
)
from modelplane.deploy.up.ports import LOOPBACK, check_free, free_port, pick_ports
from modelplane.deploy.up.registration import register
from modelplane.deploy.up.sockets import socket_directory

Say = Callable[[str], None]

_READY_SECONDS = 120.0
_POLL_SECONDS = 0.1
# A part that dies this often before anything worked will not work.
_HOPELESS_DEATHS = 3
_ANYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - compared with, not bound
_RENEWAL_SECONDS = 24 * 3600.0
# Beyond the time that a part gives the calls in flight.
_GRACE_SECONDS = 5.0


async def run(options: UpOptions, say: Say) -> None:
    """Run a deployment until SIGTERM or SIGINT.

    Args:
        options: What the user chose.
        say: Prints one line for the user.

    Raises:
        UpError: It cannot be started; nothing is left running.
    """
    with opened(options.data_dir) as data_dir, socket_directory(data_dir) as sockets:
        await Supervisor(_plan(options, data_dir, sockets), say).run()


def _plan(options: UpOptions, data_dir: DataDir, sockets: Path) -> Plan:
    rng = random.SystemRandom()
    previous = data_dir.read_ports()
    if options.port == 0:
        options = replace(options, port=free_port(rng, previous.values()))
    check_free(options.host, options.port)
    if options.tls:
        try:
            options = replace(options, tls=checked(options.tls))
        except ValueError as error:
            raise UpError(str(error)) from error
    ports = pick_ports(port_names(options), previous, rng)
    data_dir.write_ports(previous | ports)
    tokens = Tokens(
        admin=options.admin_token or data_dir.token("admin-token", "dapi"),
        local_model=data_dir.token("local-model-key"),
    )
    return Plan(options, data_dir, sockets, ports, tokens)


class Supervisor:
    """The running deployment."""

    def __init__(self, plan: Plan, say: Say) -> None:
        self._plan = plan
        self._say = say
        self._children = {spec.name: Child(spec, say, self._publish_state) for spec in plan.specs()}
        options = plan.options
        self._public = Address(_ANYWHERE.get(options.host, options.host), options.port)
        pinned = options.tls.certificate if options.tls else ""
        self._client = HttpClient(self._public, plan.tokens.admin, pinned)
        self._admin = HttpClient(plan.admin)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    async def run(self) -> None:
        """Start everything, wait for a signal, stop everything."""
        self._certify()
        self._configure_envoy()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        async with asyncio.TaskGroup() as tasks:
            for child in self._children.values():
                tasks.create_task(child.supervise())
            renewing = tasks.create_task(self._keep_certified())
            try:
                if await self._until_stop(self._get_ready()):
                    await self._stop.wait()
            finally:
                renewing.cancel()
                await self._shut_down()

    def _certify(self) -> None:
        try:
            self._plan.data_dir.certificates.ensure([LOOPBACK], datetime.now(UTC))
        except (OSError, ValueError) as error:
            raise UpError(f"cannot make the certificates of the planes: {error}") from error

    def _configure_envoy(self) -> None:
        plan, data_dir = self._plan, self._plan.data_dir
        data_dir.write(data_dir.envoy_file, render(plan.envoy_options()))
        listens = [self._children[name].spec.environment[LISTEN] for name in plan.worker_names]
        data_dir.write(data_dir.eds_file, render_workers(list(map(Address.parse, listens))))
        if plan.options.tls:
            data_dir.write(data_dir.sds_file, render_secret(plan.options.tls))

    async def _keep_certified(self) -> None:
        """Renew certificates in time; the planes read them again by themselves."""
        while True:
            await asyncio.sleep(_RENEWAL_SECONDS)
            try:
                self._certify()
            except UpError as error:
                self._say(str(error))

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def _until_stop(self, work: Coroutine[None, None, None]) -> bool:
        """Return whether `work` came to its end before the user asked to stop."""
        task: asyncio.Future[None] = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            both: list[asyncio.Future[Any]] = [task, stopped]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            return task.done()
        finally:
            task.cancel()
            stopped.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    async def _get_ready(self) -> None:
        await self._wait_until(self._answers, "a request through Envoy")
        plan = self._plan
        if plan.options.local_model:
            model = HttpClient(Address.parse(plan.address(LOCAL_MODEL)))

            async def loaded() -> bool:
                return (await model.call("GET", "/health")).ok

            await self._wait_until(loaded, "the local model")
            key = plan.tokens.local_model
            registering = register(self._client, f"{LOCAL_MODEL_ORIGIN}/v1", key, plan.data_dir)
            try:
                await asyncio.wait_for(registering, _READY_SECONDS)
            except TimeoutError:
                raise UpError("the local model was registered but is not served") from None
        for line in greeting.lines(plan, self._public):
            self._say(line)

    async def _answers(self) -> bool:
        healthy = await self._client.call("GET", "/health")
        return healthy.ok and (await self._client.call("GET", "/api/2.0/serving-endpoints")).ok

    async def _wait_until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READY_SECONDS
        while not await condition():
            for child in self._children.values():
                if child.deaths >= _HOPELESS_DEATHS:
                    raise UpError(f"{child.spec.name} does not start: {_last_words(child)}")
            if loop.time() > deadline:
                raise UpError(f"{what} does not work after {_READY_SECONDS:g} s; see the logs")
            await asyncio.sleep(_POLL_SECONDS)

    async def _shut_down(self) -> None:
        options = self._plan.options
        children = self._children
        grace = options.drain_seconds + _GRACE_SECONDS
        await self._drain()
        await asyncio.gather(
            *(children[name].stop(self._patience(grace)) for name in self._plan.worker_names)
        )
        rest = [CONTROL_PLANE, *([LOCAL_MODEL] if options.local_model else [])]
        await asyncio.gather(*(children[name].stop(self._patience(grace)) for name in rest))
        with contextlib.suppress(FileNotFoundError):
            self._plan.data_dir.state_file.unlink()

    async def _drain(self) -> None:
        """Let the requests in Envoy end, and stop it."""
        child = self._children[ENVOY]
        if child.pid is not None:
            await drain_envoy(self._admin, "public", self._plan.options.drain_seconds, self._hurry)
        await child.stop(_GRACE_SECONDS)

    def _patience(self, seconds: float) -> float:
        return 1.0 if self._hurry.is_set() else seconds

    def _publish_state(self) -> None:
        state = greeting.state(self._plan, self._public, self._children)
        self._plan.data_dir.write_state(state)


def _last_words(child: Child) -> str:
    lines = child.spec.log_file.read_text(errors="replace").strip().splitlines()
    said = lines[-1] if lines else "it says nothing"
    return f"{said} (log: {child.spec.log_file})"
