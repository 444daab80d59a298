"""Starts all parts in order, keeps them running, and stops them without losing a request.

`run` opens the data directory, builds the `plan`, starts the `parts`, waits until a request through
Envoy works, greets the user, and drains at the end. On SIGUSR1 it runs a `renewal`.
"""

import asyncio
import random
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelplane.deploy.envoy.options import Address
from modelplane.deploy.envoy.public_tls import checked
from modelplane.deploy.local import greeting
from modelplane.deploy.local.browser import open_pages
from modelplane.deploy.local.child import Child
from modelplane.deploy.local.data_dir import DataDir, opened
from modelplane.deploy.local.http_client import HttpClient
from modelplane.deploy.local.logs import Logs
from modelplane.deploy.local.model import ensure_model
from modelplane.deploy.local.options import LOCAL_MODEL, UpError, UpOptions
from modelplane.deploy.local.parts import Parts
from modelplane.deploy.local.plan import Plan, Tokens, port_names
from modelplane.deploy.local.ports import LOOPBACK, check_free, free_port, pick_ports
from modelplane.deploy.local.registry.server import RegistryServer
from modelplane.deploy.local.renewal import Renewal
from modelplane.deploy.local.sockets import socket_directory

Say = Callable[[str], None]

_READY_SECONDS = 120.0
_POLL_SECONDS = 0.1
# A part that dies this often before anything worked will not work.
_HOPELESS_DEATHS = 3
_ANYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - compared with, not bound
# Who the administrator is.
_WHO = "/api/2.0/preview/scim/v2/Me"
_REFUSED = 400
_RENEWAL_SECONDS = 24 * 3600.0


async def run(options: UpOptions, environ: Mapping[str, str], say: Say) -> None:
    """Run a deployment until SIGTERM or SIGINT.

    Args:
        options: What the user chose.
        environ: Variables that the processes inherit.
        say: Prints one line for the user.

    Raises:
        UpError: It cannot be started; nothing is left running.
    """
    try:
        with opened(options.data_dir) as data_dir, socket_directory(data_dir) as sockets:
            plan = _plan(options, environ, data_dir, sockets)
            await Supervisor(plan, say).run()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UpError(f"cannot use the data directory {options.data_dir}: {reason}") from error


def _plan(options: UpOptions, environ: Mapping[str, str], data_dir: DataDir, sockets: Path) -> Plan:
    rng = random.SystemRandom()
    previous = data_dir.read_ports()
    if options.port == 0:
        options = replace(options, port=free_port(rng, previous.values()))
    check_free(options.host, options.port)
    if options.tls:
        try:
            tls = checked(options.tls)
        except ValueError as error:
            raise UpError(str(error)) from error
        options = replace(options, public_tls_cert=tls.certificate, public_tls_key=tls.key)
    ports = pick_ports(port_names(options), previous, rng)
    data_dir.write_ports(previous | ports)
    tokens = Tokens(
        admin=options.admin_token or data_dir.token("admin-token", "dapi"),
    )
    return Plan(options, data_dir, sockets, ports, tokens, environ)


class Supervisor:
    """The running deployment."""

    def __init__(self, plan: Plan, say: Say) -> None:
        self._plan = plan
        self._say = say
        options = plan.options
        self._public = Address(_ANYWHERE.get(options.host, options.host), options.port)
        pinned = options.tls.certificate if options.tls else ""
        self._client = HttpClient(self._public, plan.tokens.admin, pinned)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._renew = asyncio.Event()

    async def run(self) -> None:
        """Start everything, wait for a signal, stop everything."""
        self._certify()
        if self._plan.options.local_model:
            log = self._plan.data_dir.log_file("model-install")
            await ensure_model(self._plan.environment, log, self._say)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGUSR1, self._renew.set)
        async with asyncio.TaskGroup() as tasks:
            parts = Parts(self._plan, self._public, tasks, self._say, self._hurry)
            await self._start(parts)
            logs = Logs(self._plan.data_dir.logs, self._say)
            loops = (self._keep_certified(), logs.run(), parts.keep_published())
            beside = [tasks.create_task(work) for work in loops]
            try:
                await self._until_stop(self._serve(parts))
            finally:
                for task in beside:
                    task.cancel()
                await parts.shut_down()

    async def _start(self, parts: Parts) -> None:
        try:
            await parts.start_all()
        except OSError as error:
            reason = error.strerror or str(error)
            path = self._plan.data_dir.path
            raise UpError(f"cannot use the data directory {path}: {reason}") from error

    async def _serve(self, parts: Parts) -> None:
        await self._get_ready(parts)
        beside: list[Coroutine[None, None, None]] = [self._renew_when_asked(parts)]
        if self._plan.options.runs_registry:
            beside.append(RegistryServer(self._plan, parts, self._say).run())
        if self._plan.options.serves_custom_model:
            # Imported here: the first answer does not wait for it.
            from modelplane.deploy.local.custom_model.deployment import (  # noqa: PLC0415
                CustomModel,
            )

            beside.append(CustomModel(self._plan, self._client, self._say).run())
        await asyncio.gather(*beside)

    async def _renew_when_asked(self, parts: Parts) -> None:
        renewal = Renewal(self._plan, parts, self._say)
        while True:
            await self._renew.wait()
            self._renew.clear()
            await renewal.renew()

    def _certify(self) -> None:
        try:
            self._plan.data_dir.certificates.ensure([LOOPBACK], datetime.now(UTC))
        except (OSError, ValueError) as error:
            raise UpError(f"cannot make the certificates of the planes: {error}") from error

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

    async def _until_stop(self, work: Coroutine[None, None, None]) -> None:
        """Do `work` until the user asks to stop."""
        task: asyncio.Future[None] = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self._stop.wait())
        try:
            both: list[asyncio.Future[Any]] = [task, stopped]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            task.cancel()
            stopped.cancel()
            await asyncio.gather(task, stopped, return_exceptions=True)

    async def _get_ready(self, parts: Parts) -> None:
        plan = self._plan
        if plan.options.local_model:
            # The model is what its user waits for.
            parts.start_launcher()
        await self._wait_until(self._answers, "a request through Envoy", parts)
        if plan.options.writes_tables:
            # What workers record meanwhile lies on the disk.
            parts.start_payload_writer()
        if plan.options.local_model:
            await self._wait_until(self._completes, "a query to the local model", parts)
        elif plan.options.hosts:
            parts.start_launcher()
        seconds = datetime.now(UTC).timestamp() - plan.options.started_at
        for line in greeting.lines(plan, self._public, seconds):
            self._say(line)
        if plan.options.open:
            # Not waited for, at the stop neither: what opens it may be the browser itself.
            threading.Thread(target=self._open, daemon=True).start()

    def _open(self) -> None:
        if told := open_pages(greeting.url(self._plan, self._public)):
            self._say(told)

    async def _answers(self) -> bool:
        healthy = await self._client.call("GET", "/health")
        # Not a list: what tenants have stored may make those large, slow or refused.
        return healthy.ok and (await self._client.call("GET", _WHO)).ok

    async def _completes(self) -> bool:
        question = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
        path = f"/serving-endpoints/{LOCAL_MODEL}/invocations"
        answer = await self._client.call("POST", path, question)
        if answer.status == _REFUSED:
            raise UpError(f"the local model does not answer: {answer.message}")
        return answer.ok

    async def _wait_until(
        self, condition: Callable[[], Awaitable[bool]], what: str, parts: Parts
    ) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READY_SECONDS
        while not await condition():
            for child in parts.children.values():
                if child.deaths >= _HOPELESS_DEATHS:
                    raise UpError(f"{child.spec.name} does not start: {_last_words(child)}")
            if loop.time() > deadline:
                raise UpError(f"{what} does not work after {_READY_SECONDS:g} s; see the logs")
            await asyncio.sleep(_POLL_SECONDS)


def _last_words(child: Child) -> str:
    lines = child.spec.log_file.read_text(errors="replace").strip().splitlines()
    said = lines[-1] if lines else "it says nothing"
    return f"{said} (log: {child.spec.log_file})"
