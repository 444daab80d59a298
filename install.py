"""Makes `.venv` what the locks say: `python3 install.py run` or `test`, which `make` calls.

An environment is never patched: one that was left half-made, or whose Python or locks changed, is
made anew. What is whole is noted in `.venv/installed`, step by step, so that a second call has
nothing to do.

Nothing is installed yet when it runs: it uses the standard library only, and no syntax that is
younger than Python 3.6, so that a Python which is too old can say so.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "modelplane needs Python 3.11 or newer, and %s is Python %d.%d: name another one, as in "
        "`make PYTHON=python3.12 run`" % ((sys.executable,) + sys.version_info[:2])
    )

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
NOTE = VENV / "installed"
WHEELS = VENV / "wheels"
NEWEST_TESTED = (3, 13)
RUN = ("requirements.lock", "deploy/local/model.txt")
LOCKS = {"run": RUN, "test": (*RUN, "requirements-extras.lock", "requirements-dev.lock")}
# Nothing but the locks is asked: no resolving, and no building, which would need packages that no
# lock names.
PIP = (str(VENV / "bin" / "python"), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input")
FROM_LOCK = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "--progress-bar", "off")
# A user's own constraints and places would change what the locks say.
PIP_SETTINGS = {
    "PIP_CONSTRAINT": os.devnull,
    "PIP_USER": "0",
    "PIP_REQUIRE_VIRTUALENV": "0",
    "PYTHONUNBUFFERED": "1",
}
# What a failed program says, and what to do about it; the first that fits.
CAUSES = {
    r"No space left on device": "The disk is full: `make run` needs 1 GB, `make test` 2 GB.",
    r"Permission denied|Read-only file system": "These files cannot be written: whose are they?",
    r"(?i)do not match the hashes": (
        "What came is not what was locked: the package index, or a cache on the way, gives out "
        "something else. Try `.venv/bin/python -m pip cache purge`, or another index."
    ),
    r"(?i)CERTIFICATE_VERIFY_FAILED|SSLError": (
        "The package index's certificate is not trusted here: tell pip whom to trust, as in "
        "`export PIP_CERT=/path/to/authorities.pem`."
    ),
    r"NewConnectionError|NameResolutionError|Timeout|Max retries exceeded|ProxyError"
    r"|Network is unreachable|Connection (broken|refused|reset)": (
        "The package index cannot be reached: look at the network, and at pip's settings for an "
        "index or a proxy (`.venv/bin/python -m pip config list`)."
    ),
    r"No matching distribution found for (?P<package>\S+)": (
        "The package index has no {package} for Python {python} on {machine}. modelplane runs on "
        "Linux with glibc 2.31 or newer, on x86-64 and ARM64."
    ),
}
_POLL_SECONDS = 0.1
_REPORT_SECONDS = 10.0
_SHOWN_LINES = 20
_MOST_FETCHERS = 4


class InstallError(Exception):
    """A step failed; the text says what, and what to do."""


class Report:
    """Tells what is done and, while it lasts, what goes on."""

    def __init__(self) -> None:
        self._started = self._told = time.monotonic()
        self._terminal = sys.stdout.isatty()

    def done(self, text: str) -> None:
        """Say what is done, on a line of its own."""
        self._told = time.monotonic()
        self._print(text + "\n")

    def going_on(self, text: str) -> None:
        """Say what goes on: all the time in a terminal, else now and then."""
        if self._terminal:
            self._print(text)
        elif time.monotonic() - self._told > _REPORT_SECONDS:
            self.done(text)

    def _print(self, text: str) -> None:
        erase = "\r\033[K" if self._terminal else ""
        seconds = time.monotonic() - self._started
        print(f"{erase}{seconds:6.1f} s  {text}", end="", flush=True)


class Program:
    """A program that runs, and what it has said."""

    def __init__(self, command: Sequence[str], lock: int) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **PIP_SETTINGS},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # If this process is killed, the next one waits until its programs have ended too.
            pass_fds=[lock],
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def ended(self) -> int | None:
        """Return its status; None while it runs."""
        return self._process.poll()

    def end(self) -> None:
        """End it if it still runs, and hear the rest of what it says."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.lines.append(line.rstrip())


class Installer:
    """Brings the environment up to date, step by step.

    Args:
        lock: Open file that this process holds for itself.
    """

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._report = Report()

    def install(self, target: str) -> None:
        """Install what `make run` or `make test` needs.

        Raises:
            InstallError: A step failed.
        """
        wanted = {"python": f"{sys.version} {sys.base_prefix}"}
        wanted.update({lock: _digest(ROOT / lock) for lock in LOCKS[target]})
        done = _read_note()
        if "python" not in done or any(done.get(key, wanted[key]) != wanted[key] for key in wanted):
            done = {}
            self._make_environment()
        missing = [name for name in LOCKS[target] if name not in done]
        if missing:
            self._install_locked(missing)
            done.update(wanted)
            _write_note(done)
        # What is generated differs with the packages: the dev lock brings the stubs' generator.
        code = _digest(*_sources()) + "".join(
            done[key] for key in sorted(done) if key in LOCKS["test"]
        )
        if done.pop("modelplane", "") != code:
            _write_note(done)
            self._install_modelplane()
            _write_note({**done, "modelplane": code})

    def _make_environment(self) -> None:
        python = platform.python_version()
        if sys.version_info[:2] > NEWEST_TESTED:
            newest = ".".join(map(str, NEWEST_TESTED))
            print(
                f"Python {python} is newer than what modelplane is tested with (3.11 to {newest})"
            )
        if importlib.util.find_spec("ensurepip") is None:
            raise InstallError(
                f"{sys.executable} cannot make an environment: its module ensurepip is missing. On "
                f"Debian and Ubuntu, install it: `apt install python3-venv`."
            )
        NOTE.unlink(missing_ok=True)
        # Not by the environment's own Python, if that is what runs this.
        command = [getattr(sys, "_base_executable", sys.executable), "-I", "-m", "venv", "--clear"]
        self._run("making .venv", [*command, str(VENV)])
        self._report.done(f"made .venv with Python {python}")

    def _install_locked(self, locks: Sequence[str]) -> None:
        entries = [entry for name in locks for entry in _entries(ROOT / name)]
        # pip looks through all releases of each package there is, in one thread: several do
        # different packages at once, and only the last, alone, changes the environment.
        fetchers = min(max(2, os.cpu_count() or 1), _MOST_FETCHERS)
        WHEELS.mkdir(exist_ok=True)
        fetching = []
        for number in range(fetchers):
            part = WHEELS / f"{number}.lock"
            part.write_text("".join(entries[number::fetchers]))
            fetching.append([*PIP, "download", *FROM_LOCK, "-d", str(WHEELS), "-r", str(part)])
        self._run(f"fetching {len(entries)} packages", *fetching, counted="Collecting ")
        self._report.done(f"fetched {len(entries)} packages")
        NOTE.unlink(missing_ok=True)
        chosen = [option for name in locks for option in ("-r", name)]
        source = ("--no-index", "--find-links", str(WHEELS))
        self._run("unpacking the packages", [*PIP, "install", *FROM_LOCK, *source, *chosen])
        shutil.rmtree(WHEELS)
        self._report.done(f"unpacked {', '.join(locks)}")

    def _install_modelplane(self) -> None:
        options = ("--no-index", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        self._run("installing modelplane", [*PIP, "install", *options])
        self._report.done("installed modelplane")

    def _run(self, what: str, *commands: Sequence[str], counted: str = "") -> None:
        """Run programs at once until they end.

        Args:
            what: What they do, for the report.
            commands: The programs.
            counted: Beginning of the lines that show how far they are.

        Raises:
            InstallError: One failed; the others are ended.
        """
        programs: list[Program] = []
        try:
            programs.extend(Program(command, self._lock) for command in commands)
            while any(program.ended() is None for program in programs):
                if any(program.ended() for program in programs):
                    break
                lines = [line for program in programs for line in program.lines]
                count = sum(line.startswith(counted) for line in lines) if counted else 0
                self._report.going_on(f"{what}: {count}" if count else what)
                time.sleep(_POLL_SECONDS)
            failed = [program for program in programs if program.ended()]
        finally:
            for program in programs:
                program.end()
        if failed:
            self._report.done(f"{what} failed")
            raise InstallError(_explain(failed[0].lines))


def _explain(lines: Sequence[str]) -> str:
    said = "\n".join(lines)
    shown = "\n".join(f"    {line}" for line in lines[-_SHOWN_LINES:])
    for pattern, advice in CAUSES.items():
        found = re.search(pattern, said)
        if found:
            here = {"python": platform.python_version(), "machine": platform.machine()}
            return f"{shown}\n{advice.format(**here, **found.groupdict())}"
    return shown


def _entries(lock: Path) -> list[str]:
    """Return the packages of a lock, each with its hashes."""
    return re.findall(r"^\w.*\n(?:[ ].*\n)*", lock.read_text(), re.MULTILINE)


def _sources() -> list[Path]:
    """Return the files that the generated code and the package's metadata come from."""
    protos = ROOT / "protos"
    return [
        ROOT / "pyproject.toml",
        *sorted(protos.glob("*.py")),
        *sorted((protos / "modelserving").rglob("*.proto")),
    ]


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(b"%s\0%s\0" % (bytes(file.relative_to(ROOT)), file.read_bytes()))
    return digest.hexdigest()


def _read_note() -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads(NOTE.read_text()))
    return {}


def _write_note(done: dict[str, str]) -> None:
    new = NOTE.with_suffix(".new")
    new.write_text(json.dumps(done, indent=2))
    new.replace(NOTE)


@contextlib.contextmanager
def _alone() -> Iterator[int]:
    """Wait until no other process installs; yield the open file that says so."""
    with Path(__file__).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another installation into .venv goes on: waiting for its end", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def main() -> int:
    """Install; return the exit status."""
    parser = argparse.ArgumentParser(description="Install what `make TARGET` needs into .venv.")
    parser.add_argument("target", choices=sorted(LOCKS))
    target = parser.parse_args().target
    # Ended by whatever means, it ends its programs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _alone() as lock:
            Installer(lock).install(target)
    except InstallError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(_explain([str(error)]), file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    else:
        return 0
    print("The installation is not complete; the next `make` goes on with it.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
