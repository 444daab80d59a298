"""The data directory: one supervisor at a time, tokens that only their owner can read.

`supervisor.py` opens it first; what the planes keep there is their own business.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelplane.deploy.certificates import CertificateDir
from modelplane.deploy.local.options import UpError

_OWNER_ONLY = 0o600


class DataDir:
    """The files that the supervisor itself keeps."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.state_file = self.path / "up.json"
        self.envoy_file = self.path / "envoy.json"
        self.sds_file = self.path / "envoy-tls.json"
        self.eds_file = self.path / "envoy-workers.json"
        self.certificates = CertificateDir(self.path / "tls")
        self._ports_file = self.path / "ports.json"

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.path / "logs"

    @property
    def models(self) -> Path:
        """The folder of models that the deployment registers itself."""
        return self.path / "models"

    def log_file(self, name: str) -> Path:
        """Return the log of the child process `name`."""
        return self.logs / f"{name}.log"

    def token_file(self, name: str) -> Path:
        """Return the file of the token `name`."""
        return self.path / name

    def token(self, name: str, prefix: str = "") -> str:
        """Return the token kept in the file `name`; made the first time."""
        file = self.token_file(name)
        if not file.exists():
            self.write(file, prefix + secrets.token_hex(16) + "\n")
        return file.read_text().strip()

    def read_ports(self) -> dict[str, int]:
        """Return the ports of the last run by name, empty where there was none."""
        try:
            ports = json.loads(self._ports_file.read_text())
        except (OSError, ValueError):
            return {}
        return {name: port for name, port in ports.items() if isinstance(port, int)}

    def write_ports(self, ports: dict[str, int]) -> None:
        """Keep the ports for the next run."""
        self.write(self._ports_file, json.dumps(ports))

    def write_state(self, state: dict[str, Any]) -> None:
        """Publish pids and addresses of the running deployment."""
        self.write(self.state_file, json.dumps(state, indent=2))

    def write(self, file: Path, text: str) -> None:
        """Replace `file` in one step, readable by its owner only."""
        temporary = file.with_name(file.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        temporary.replace(file)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[DataDir]:
    """Make the directory if need be and hold it for this process alone.

    Raises:
        UpError: Another process holds it, or it cannot be made.
    """
    try:
        (path / "logs").mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
        lock = (path / "lock").open("a+")
    except OSError as error:
        raise UpError(f"cannot use the data directory {path}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "?"
            raise UpError(
                f"another `modelplane up` (pid {holder}) uses the data directory {path}"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield DataDir(path)
