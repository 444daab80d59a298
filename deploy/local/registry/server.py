"""The registry's server: started once the rest answers, since nothing of it is needed for that.

`supervisor.py` runs it; `environment.py` is what it runs in.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.child import ChildSpec
from modelplane.deploy.local.http_client import HttpClient
from modelplane.deploy.local.packages import NotInstalled
from modelplane.deploy.local.parts import Parts
from modelplane.deploy.local.plan import REGISTRY, Plan
from modelplane.deploy.local.registry.environment import installed

_RETRY_SECONDS = 60.0
_POLL_SECONDS = 0.2
_HOPELESS_DEATHS = 3
# The first that needs its database, which it makes or brings up to date by then.
_FIRST_CALL = "/api/2.0/mlflow/registered-models/search?max_results=1"


class RegistryServer:
    """The registry of a deployment."""

    def __init__(self, plan: Plan, parts: Parts, say: Callable[[str], None]) -> None:
        """Start nothing yet.

        Args:
            plan: The deployment.
            parts: Its processes, of which the server will be one.
            say: Prints one line for the user.
        """
        self._plan = plan
        self._parts = parts
        self._say = say
        self._said = ""

    async def run(self) -> None:
        """Install and start it, and return once it answers; it is kept running from then on."""
        python = await self._python()
        child = self._parts.add(server_spec(self._plan, python))
        client = HttpClient(Address.parse(self._plan.address(REGISTRY)))
        while not (await client.call("GET", _FIRST_CALL)).ok:
            if child.deaths >= _HOPELESS_DEATHS:
                self._say_once(f"the model registry does not start (log: {child.spec.log_file})")
            await asyncio.sleep(_POLL_SECONDS)
        self._say(
            f"the model registry is ready: export MLFLOW_TRACKING_URI={self._plan.registry_url}"
        )

    async def _python(self) -> Path:
        """Return the Python that it runs with, once it can be had."""
        plan = self._plan
        log = plan.data_dir.log_file(f"{REGISTRY}-install")
        while True:
            try:
                return await installed(_folder(plan) / "environment", plan.environment, log)
            except (NotInstalled, OSError) as error:
                reason = getattr(error, "strerror", None) or str(error)
            self._say_once(
                f"there is no model registry yet: {reason} It is tried again each minute "
                f"(log: {log})"
            )
            await asyncio.sleep(_RETRY_SECONDS)

    def _say_once(self, line: str) -> None:
        if line != self._said:
            self._said = line
            self._say(line)


def server_spec(plan: Plan, python: Path) -> ChildSpec:
    """Return the process of the server.

    It is what `mlflow server` starts, which would be one more process, and leave this one behind
    when it is killed; the variables with an underscore are what that gives it.

    Args:
        plan: The deployment.
        python: The Python of its environment.
    """
    address = Address.parse(plan.address(REGISTRY))
    folder = _folder(plan)
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    database = f"sqlite:///{folder / 'mlflow.db'}"
    names = [f"{host}:{address.port}" for host in (address.host, "localhost")]
    environment = {
        **plan.foreign_environment(),
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(folder / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        # A page in a browser must not reach it under a name of its own.
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(names),
        # Six more processes, for what is not used here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [
        *(str(python), "-I", "-m", "uvicorn", "mlflow.server.fastapi_app:app"),
        *("--host", address.host, "--port", str(address.port)),
        *("--no-access-log", "--timeout-graceful-shutdown", "5"),
    ]
    return ChildSpec(REGISTRY, command, environment, plan.data_dir.log_file(REGISTRY))


def _folder(plan: Plan) -> Path:
    return plan.data_dir.path / "registry"
