"""Makes the custom model and its endpoint, beside what serves already: nobody waits for it.

`supervisor.py` runs it. The script runs in the environment that the launcher would build for the
model, so that there is one, which is there when the model's first process starts.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from modelplane.adapters.shared.settings import load
from modelplane.deploy.local.http_client import HttpClient
from modelplane.deploy.local.options import CUSTOM_MODEL
from modelplane.deploy.local.plan import Plan
from modelplane.launcher.confined.views import parts_of_python
from modelplane.launcher.engines.base import EngineUnfit
from modelplane.launcher.environments.build import Program
from modelplane.launcher.environments.failures import EnvironmentFailed
from modelplane.launcher.settings import Settings
from modelplane.launcher.supplies import open_supplies, open_users

MODEL = "main.demo.taxi_fare"
_VERSION = "1"
_SCRIPT = Path(__file__).with_name("taxi_fares.py")
_ENDPOINTS = "/api/2.0/serving-endpoints"
_RETRY_SECONDS = 60.0
_POLL_SECONDS = 0.5
_ENTITY = {
    "name": "rides",
    "entity_name": MODEL,
    "entity_version": _VERSION,
    "workload_size": "Small",
    "scale_to_zero_enabled": True,
}
_ENDPOINT = {"name": CUSTOM_MODEL, "config": {"served_entities": [_ENTITY]}}


class _NotThere(Exception):
    """The model or its endpoint cannot be had; the text says why, and what happens next."""


class CustomModel:
    """The custom model of a deployment.

    Args:
        plan: The deployment.
        client: Calls its public API, as an administrator.
        say: Prints one line for the user.
    """

    def __init__(self, plan: Plan, client: HttpClient, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._client = client
        self._say = say
        self._log = plan.data_dir.log_file("custom-model")

    async def run(self) -> None:
        """Return once the model answers, or when it is said why it never will."""
        began = asyncio.get_running_loop().time()
        said = ""
        while True:
            try:
                await self._register()
                await self._deploy()
                break
            except (_NotThere, EngineUnfit, EnvironmentFailed, OSError) as error:
                reason = getattr(error, "strerror", None) or str(error)
            if reason != said:
                said = reason
                self._say(
                    f"there is no custom model yet: {reason} It is tried again each minute "
                    f"(log: {self._log})"
                )
            await asyncio.sleep(_RETRY_SECONDS)
        failure = await self._until_settled()
        seconds = asyncio.get_running_loop().time() - began
        self._say(failure or f"{CUSTOM_MODEL} answers, {seconds:.1f} s later")

    async def _register(self) -> None:
        """Run the script, unless it has done its work before."""
        models = self._plan.data_dir.models
        if (models / MODEL / _VERSION).exists():
            return
        new = models / ".new"
        await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)
        new.mkdir(parents=True)
        try:
            await self._train(new)
            (models / MODEL).mkdir(exist_ok=True)
            (new / MODEL / _VERSION).rename(models / MODEL / _VERSION)
        finally:
            await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)

    async def _train(self, folder: Path) -> None:
        environ = self._plan.launcher().environment
        settings = load(Settings, "modelplane launcher", [], environ)
        supplies = open_supplies(settings, open_users(settings))
        with self._log.open("w") as log:

            def note(line: str) -> None:
                log.write(f"{line}\n")
                log.flush()

            held = await supplies.build(_SCRIPT.parent, note)
            try:
                status = await supplies.run(_program(held.python, folder), folder, note)
            finally:
                held.release()
        if status:
            raise _NotThere(f"{_SCRIPT.name} ended with status {status}.")

    async def _deploy(self) -> None:
        """Make the endpoint, unless it is there."""
        path = f"{_ENDPOINTS}/{CUSTOM_MODEL}"
        if (await self._client.call("GET", path)).ok:
            return
        made = await self._client.call("POST", _ENDPOINTS, _ENDPOINT)
        if not made.ok:
            raise _NotThere(f"its endpoint is refused: {made.message}")

    async def _until_settled(self) -> str:
        """Wait until the endpoint answers; return why it does not, where it never will."""
        while True:
            shown = await self._client.call("GET", f"{_ENDPOINTS}/{CUSTOM_MODEL}")
            document = shown.json() if shown.ok else {}
            state = document.get("state", {})
            if state.get("ready") == "READY":
                return ""
            if state.get("config_update") not in {None, "IN_PROGRESS"}:
                entities = document.get("pending_config", {}).get("served_entities", [])
                reasons = [each["state"]["deployment_state_message"] for each in entities]
                return f"{CUSTOM_MODEL} is not served: {' '.join(reasons) or 'it was stopped'}"
            await asyncio.sleep(_POLL_SECONDS)


def _program(python: Path, folder: Path) -> Program:
    variables: Mapping[str, str] = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = (str(python), "-I", str(_SCRIPT), str(folder))
    return Program(command, variables, (*parts_of_python(python), _SCRIPT.parent, folder))
