"""A real MLflow server with the models of the documents, for as long as a block lasts."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.hosting.models.cache import Saved
from tests.ports import free_port

REGISTER = Path(__file__).with_name("models") / "register.py"
_START_SECONDS = 300.0


@contextmanager
def run_mlflow_server(environment: Saved, folder: Path) -> Iterator[str]:
    """Run a server whose data is in a folder, with models registered, and yield its address."""
    with run_empty_server(environment, folder) as address:
        done = subprocess.run(
            [str(environment.python), "-W", "ignore", str(REGISTER), address],
            cwd=folder,
            env=_variables(environment, folder),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        yield address


@contextmanager
def run_empty_server(environment: Saved, folder: Path) -> Iterator[str]:
    """Run a server whose data is in a folder, and yield its address."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [str(environment.python), "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_variables(environment, folder),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait(address, process, folder)
        yield address
    finally:
        # Its workers are in its group.
        os.killpg(process.pid, 15)
        process.wait(120)


def _variables(environment: Saved, folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{environment.python.parent}:{os.defpath}",
        "HOME": str(folder),
        # The consumers of its jobs take a gigabyte, and nothing here has any.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _wait(address: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.2)
    raise AssertionError(f"MLflow did not start:\n{(folder / 'server.log').read_text()[-4000:]}")
