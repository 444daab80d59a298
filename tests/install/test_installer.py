"""`install.py`: what it installs, what it leaves when a step fails, and what it says then."""

import ast
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

import pytest

from modelplane.adapters.shared.settings import environment
from tests.install.locks import ROOT
from tests.install.project import Project

RUN = {"application": "1.0", "library": "1.0", "model": "1.0", "modelplane": "1.0"}
TEST = {**RUN, "telemetry": "1.0", "tool": "1.0"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project in which all that runs is installed."""
    made = Project(tmp_path_factory.mktemp("whole") / "project")
    done = made.install("run")
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture
def installed(whole: Project, tmp_path: Path) -> Project:
    """Return one of its own, whose environment is moved there with all that it holds."""
    copy = Project(tmp_path / "project")
    libraries = whole.root / ".venv" / "lib"
    others = shutil.ignore_patterns(libraries.name)
    shutil.copytree(whole.root, copy.root, symlinks=True, dirs_exist_ok=True, ignore=others)
    # Thousands of files, of which each is replaced as a whole, if at all.
    made = copy.root / libraries.relative_to(whole.root)
    shutil.copytree(libraries, made, symlinks=True, copy_function=os.link)
    return copy


def test_the_locks_are_installed_without_resolving_and_then_nothing_is_left_to_do(
    whole: Project,
) -> None:
    assert whole.installed() == RUN
    before = whole.note()
    again = whole.install("run")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert whole.note() == before
    assert whole.builds() == 1


def test_the_rest_is_added_for_the_tests(installed: Project) -> None:
    assert installed.install("test").returncode == 0
    assert installed.installed() == TEST
    assert installed.builds() == 2
    for target in ("run", "test"):
        assert installed.install(target).stdout == ""


def test_changed_protos_are_built_and_nothing_else_is_done(installed: Project) -> None:
    installed.proto.write_text("changed")
    environment = installed.root / ".venv" / "pyvenv.cfg"
    made = environment.stat().st_mtime_ns
    done = installed.install("run")
    assert "installed modelplane" in done.stdout
    assert installed.builds() == 2
    assert environment.stat().st_mtime_ns == made


def test_protos_that_cannot_be_built_leave_the_packages(installed: Project) -> None:
    installed.proto.write_text("broken")
    failed = installed.install("run")
    assert failed.returncode == 1
    assert "installing modelplane failed" in failed.stdout
    assert "a.proto: it is broken" in failed.stderr
    assert "modelplane" not in installed.note()
    installed.proto.write_text("mended")
    mended = installed.install("run")
    assert mended.returncode == 0
    assert "fetched" not in mended.stdout


def test_a_changed_lock_makes_the_environment_anew_but_not_of_what_was_not_locked(
    installed: Project,
) -> None:
    lock = installed.root / "requirements.lock"
    right = lock.read_text()
    lock.write_text(right.replace(right[-9:], "00000000\n"))
    failed = installed.install("run")
    assert failed.returncode == 1
    assert "What came is not what was locked" in failed.stderr
    assert not installed.note()
    installed.lock("requirements.lock", ("application",))
    assert installed.install("run").returncode == 0
    assert installed.installed() == {name: RUN[name] for name in RUN if name != "library"}


def test_a_package_index_that_is_away_is_told_of_and_what_was_whole_stays(
    installed: Project,
) -> None:
    shutil.rmtree(installed.index)
    del installed.settings["PIP_NO_INDEX"]
    installed.settings |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    failed = installed.install("test")
    assert failed.returncode == 1
    assert "The package index cannot be reached" in failed.stderr
    again = installed.install("run")
    assert (again.returncode, again.stdout) == (0, "")


def test_a_package_that_the_index_lacks_is_named(installed: Project) -> None:
    (installed.index / "tool-1.0-py3-none-any.whl").unlink()
    failed = installed.install("test")
    assert failed.returncode == 1
    assert "The package index has no tool==1.0 for Python" in failed.stderr


def interrupt(project: Project, number: int) -> int:
    """Send a signal to an installation while it fetches packages; return its status."""
    running = subprocess.Popen(
        project.command("run"),
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (project.root / ".venv" / "wheels").exists():
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(number)
    return running.wait()


def test_what_was_killed_is_not_taken_for_whole(project: Project) -> None:
    assert interrupt(project, signal.SIGKILL) == -signal.SIGKILL
    assert not project.note()
    assert project.install("run").returncode == 0
    assert project.installed() == RUN


def took_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_what_is_told_to_stop_leaves_no_process(project: Project) -> None:
    assert interrupt(project, signal.SIGTERM) == 1
    assert not project.note()
    with (project.root / "install.py").open() as lock:
        # Its programs hold it too, until the kernel has ended them.
        while not took_lock(lock):
            time.sleep(0.01)


def test_two_at_once_take_turns(installed: Project) -> None:
    installed.proto.write_text("changed")
    both = [
        subprocess.Popen(
            installed.command("run"),
            env=installed.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("installed modelplane" in text for text in said) == [False, True]
    assert installed.builds() == 2


def run_with(project: Project, change: str) -> subprocess.CompletedProcess[str]:
    """Run it in a Python that is changed first."""
    code = f"import runpy, sys; {change}; sys.argv = ['install.py', 'run']; "
    code += f"runpy.run_path({str(project.root / 'install.py')!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code],
        env=project.environment(),
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_python_that_is_too_old_is_told_so_in_one_line(project: Project) -> None:
    refused = run_with(project, "sys.version_info = (3, 9, 18, 'final', 0)")
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert "modelplane needs Python 3.11 or newer" in line
    assert "is Python 3.9" in line
    assert not (project.root / ".venv").exists()
    ast.parse((ROOT / "install.py").read_text(), feature_version=(3, 6))


def test_a_python_without_ensurepip_is_told_what_to_install(project: Project) -> None:
    refused = run_with(project, "sys.modules['ensurepip'] = None")
    assert refused.returncode == 1
    assert "apt install python3-venv" in refused.stderr
    assert "newer" not in refused.stdout
    assert not (project.root / ".venv").exists()


def test_a_python_that_is_newer_than_the_tests_is_told_so(project: Project) -> None:
    change = "sys.version_info = (3, 14, 0, 'final', 0); sys.modules['ensurepip'] = None"
    told = run_with(project, change)
    assert "newer than what modelplane is tested with (3.11 to 3.13)" in told.stdout


def test_make_keeps_the_python_that_was_named_once(project: Project) -> None:
    def chosen(*named: str) -> str:
        command = ("make", "--no-print-directory", "--dry-run", "install", *named)
        variables = {name: value for name, value in environment().items() if name != "PYTHON"}
        return subprocess.run(
            command, cwd=project.root, env=variables, check=True, capture_output=True, text=True
        ).stdout.split()[0]

    assert chosen() == "python3"
    (project.root / ".venv").mkdir()
    settings = project.root / ".venv" / "pyvenv.cfg"
    settings.write_text(f"home = /usr/bin\nexecutable = {sys.executable}\n")
    assert chosen() == sys.executable
    assert chosen("PYTHON=other") == "other"
    settings.write_text("home = /usr/bin\nexecutable = /nowhere/python3.12\n")
    assert chosen() == "python3"
