"""Children that die, that do not listen, and that were never wanted."""

import asyncio
import sys
from pathlib import Path

from modelplane.deploy.local.child import Child, ChildSpec, describe
from tests.deploy.local.deployments import is_alive


def child(tmp_path: Path, code: str, said: list[str], started: list[None]) -> Child:
    spec = ChildSpec("toy", [sys.executable, "-c", code], {"SECRET": "s3cret"}, tmp_path / "log")
    return Child(spec, said.append, lambda: started.append(None))


async def test_restarts_with_growing_pauses(tmp_path: Path) -> None:
    said: list[str] = []
    started: list[None] = []
    toy = child(tmp_path, "print('out'); raise SystemExit(3)", said, started)
    task = asyncio.ensure_future(toy.supervise())
    while len(said) < 3:
        await asyncio.sleep(0.02)
    await toy.stop(1)
    await task
    assert said[:3] == [
        "toy ended with status 3; starting it again in 0.1 s",
        "toy ended with status 3; starting it again in 0.2 s",
        "toy ended with status 3; starting it again in 0.4 s",
    ]
    assert toy.pid is None
    assert (tmp_path / "log").read_text().splitlines()[0] == "out"


async def test_stop_is_polite_first(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0)))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    said: list[str] = []
    toy = child(tmp_path, code, said, [])
    task = asyncio.ensure_future(toy.supervise())
    await until_logged(tmp_path, "up")
    await toy.stop(30)
    await task
    assert (tmp_path / "log").read_text().splitlines() == ["up", "bye"]
    assert said == []


async def test_stop_ends_in_force(tmp_path: Path) -> None:
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    said: list[str] = []
    toy = child(tmp_path, code, said, [])
    task = asyncio.ensure_future(toy.supervise())
    await until_logged(tmp_path, "up")
    pid = toy.pid
    await toy.stop(0.1)
    await task
    assert said == ["toy did not stop in 0.1 s and is killed"]
    assert pid is not None
    assert not is_alive(pid)


async def test_what_ends_already_is_not_told_again(tmp_path: Path) -> None:
    code = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('told', flush=True))\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    said: list[str] = []
    toy = child(tmp_path, code, said, [])
    task = asyncio.ensure_future(toy.supervise())
    await until_logged(tmp_path, "up")
    first = asyncio.ensure_future(toy.stop(30))
    await until_logged(tmp_path, "told")
    first.cancel()
    await toy.stop(0.1)
    await task
    assert (tmp_path / "log").read_text().splitlines() == ["up", "told"]
    assert said == ["toy did not stop in 0.1 s and is killed"]


async def test_stop_during_the_start_leaves_nothing(tmp_path: Path) -> None:
    started: list[None] = []
    toy = child(tmp_path, "import time; time.sleep(60)", [], started)
    task = asyncio.ensure_future(toy.supervise())
    await asyncio.sleep(0)
    await toy.stop(1)
    await task
    assert toy.pid is None


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    assert "s3cret" not in repr(child(tmp_path, "", [], []).spec)


def test_describe() -> None:
    assert describe(-9) == "was killed by SIGKILL"
    assert describe(1) == "ended with status 1"


async def until_logged(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log"
    while not (log.exists() and line in log.read_text()):
        await asyncio.sleep(0.02)
