"""An Envoy with a worker inside, and around it the small process that lets it drain.

Envoy by itself ends at once when it is told to stop. Used by `__main__.py`; neighbours:
`../envoy/drain.py` and `../child.py`.
"""

import asyncio
import contextlib
import logging
import signal
from asyncio.subprocess import Process
from dataclasses import replace
from pathlib import Path

from modelplane.adapters.settings import environment
from modelplane.adapters.telemetry import log_fields
from modelplane.deploy.child import describe, end, start
from modelplane.deploy.envoy.command import envoy_command
from modelplane.deploy.envoy.drain import drain_envoy
from modelplane.deploy.envoy.embedded import python_environment
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.envoy.public_tls import checked
from modelplane.deploy.envoy.replica import render_replica
from modelplane.deploy.http_client import HttpClient
from modelplane.deploy.worker.options import WorkerOptions

_log = logging.getLogger("modelplane.deploy.worker")
_POLL_SECONDS = 0.05
# An Envoy in front looks at the health each half second, and then sends nothing more.
_NOTICE_SECONDS = 1.0
# For the worker to hand over what it holds, once no call is in flight.
GRACE_SECONDS = 5.0


class EnvoyProcess:
    """Runs the Envoy, drains it when told to stop, and ends when it does."""

    def __init__(self, options: WorkerOptions, directory: Path) -> None:
        """Write the files that Envoy reads.

        Args:
            options: What it is to be.
            directory: Where its files go, for this process alone.

        Raises:
            ValueError: An option is malformed.
        """
        self._options = options
        self._config = directory / "envoy.json"
        self._admin_file = directory / "admin-address"
        self._config.write_text(_bootstrap(options, directory / "public-tls.json"))
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._process: Process | None = None

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT, at a second one end at once; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        process = self._process = await start(self._command(), self._environment())
        ended = asyncio.ensure_future(process.wait())
        serving = asyncio.ensure_future(self._serve())
        try:
            await asyncio.wait((ended, serving), return_when=asyncio.FIRST_COMPLETED)
            if ended.done() and not self._hurry.is_set():
                how = log_fields(reason=f"Envoy {describe(ended.result())}")
                _log.error("the worker ended by itself", extra=how)
                return 1
            if serving.done():
                serving.result()
            return 0
        finally:
            serving.cancel()
            await end("Envoy", process, GRACE_SECONDS, _log.warning)
            await asyncio.gather(ended, serving, return_exceptions=True)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
        self._stop.set()

    async def _serve(self) -> None:
        """Wait for the signal, and then for the calls in flight."""
        if (admin := await self._until_ready()) is None:
            return
        listen = log_fields(listen=await _listen(admin), admin=str(admin.address))
        _log.info("the worker serves", extra=listen)
        await self._stop.wait()
        seconds = self._options.drain_seconds
        _log.info("the worker drains", extra=log_fields(drain_seconds=seconds))
        listener = "public" if self._options.public_listen else "replica"
        await drain_envoy(admin, listener, seconds, self._hurry, _NOTICE_SECONDS)

    async def _until_ready(self) -> HttpClient | None:
        """Return Envoy's admin page once it takes calls; None: it was told to stop before."""
        while not self._stop.is_set():
            if self._admin_file.exists() and (text := self._admin_file.read_text()):
                admin = HttpClient(Address.parse(text))
                if (await admin.call("GET", "/ready")).ok:
                    return admin
            await asyncio.sleep(_POLL_SECONDS)
        return None

    def _command(self) -> list[str]:
        command = envoy_command(self._config, self._options.log_level)
        return [*command, "--admin-address-path", str(self._admin_file)]

    def _environment(self) -> dict[str, str]:
        return {**environment(), **self._options.variables(), **python_environment()}


def _bootstrap(options: WorkerOptions, sds: Path) -> str:
    admin = Address.parse(options.envoy_admin_listen)
    if (public := options.public) is None:
        return render_replica(Address.parse(options.worker_listen), admin)
    from modelplane.deploy.envoy.config import render, render_secret  # noqa: PLC0415 - brings all protos

    if public.tls:
        tls = checked(public.tls)
        sds.write_text(render_secret(tls))
        public = replace(public, tls=tls, sds=str(sds))
    return render(replace(public, admin=admin))


async def _listen(admin: HttpClient) -> str:
    """Return where Envoy listens: the port may have been its own choice."""
    answer = await admin.call("GET", "/listeners?format=json")
    [listener] = answer.json()["listener_statuses"]
    found = listener["local_address"]["socket_address"]
    return str(Address(found["address"], found["port_value"]))
