"""What a model cannot reach, and what is left when a launcher is killed."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelplane.launcher.confined.views import hidden_part
from modelplane.launcher.local import seen
from modelplane.launcher.local.users import NoUserLeft, Users, can_change_users
from tests.launcher.groups import ask, group, machine

USERS = range(60610, 60630)
as_root = pytest.mark.skipif(not can_change_users(), reason="only root starts others as others")


@pytest.fixture
def open_path() -> Iterator[Path]:
    """Return a directory that all users can reach: those of pytest are for their owner alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_a_model_sees_nothing_of_the_launchers_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELPLANE_TLS_KEY", "/somewhere/launcher.key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    # What computes wrongly on some processors without it is let through.
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.delenv("OPENBLAS_L2_SIZE", raising=False)
    async with machine(tmp_path) as here:
        chosen = {"GREETING": "hello", "HOME": "/root", "OMP_NUM_THREADS": "3"}
        spec = group(here.models.add("iris"), environment=chosen)
        here.run(spec)
        [replica] = await here.until_ready(spec)
        variables = await ask(replica, run="dict(os.environ)")
        # It sees no accelerator, as it was given none.
        assert variables["CUDA_VISIBLE_DEVICES"] == ""
        assert set(variables) - {"LC_CTYPE"} == {
            "CUDA_VISIBLE_DEVICES",
            "GREETING",
            "HOME",
            "LANG",
            "MKL_NUM_THREADS",
            "MODELPLANE_REPLICA_ASKED",
            "MODELPLANE_REPLICA_TOKEN",
            "NUMEXPR_NUM_THREADS",
            "OMP_NUM_THREADS",
            "OMP_WAIT_POLICY",
            "OPENBLAS_CORETYPE",
            "OPENBLAS_NUM_THREADS",
            "PATH",
            "PYTHONUNBUFFERED",
            "TMPDIR",
            "VECLIB_MAXIMUM_THREADS",
        }
        assert variables["GREETING"] == "hello"
        assert variables["OMP_NUM_THREADS"] == "3"
        assert variables["MODELPLANE_REPLICA_TOKEN"] == replica.token
        assert variables["HOME"] == str(here.folder / "replicas" / replica.id)
        assert await ask(replica, run="os.getcwd()") == variables["HOME"]


async def test_a_model_has_no_file_of_the_launchers_open(tmp_path: Path) -> None:
    with (tmp_path / "key").open("w") as key:
        os.set_inheritable(key.fileno(), True)  # noqa: FBT003 - named so by Python
        async with machine(tmp_path) as here:
            spec = group(here.models.add("iris"))
            here.run(spec)
            [replica] = await here.until_ready(spec)
            open_files = await ask(replica, run="list(map(link, os.listdir('/proc/self/fd')))")
            assert "/dev/null" in open_files
            assert not [file for file in open_files if file.startswith(str(tmp_path))]


async def test_a_model_has_limits(tmp_path: Path) -> None:
    async with machine(tmp_path) as here:
        spec = group(here.models.add("iris"))
        here.run(spec)
        [replica] = await here.until_ready(spec)
        limits = "__import__('resource').getrlimit(__import__('resource').{})"
        assert await ask(replica, run=limits.format("RLIMIT_CORE")) == [0, 0]
        assert await ask(replica, run=limits.format("RLIMIT_NOFILE")) == [8192, 8192]
        assert await ask(replica, run=limits.format("RLIMIT_FSIZE")) == [1 << 34, 1 << 34]
        score = "open('/proc/self/oom_score_adj').read()"
        assert await ask(replica, run=score) == "1000\n"


@as_root
async def test_a_model_cannot_read_keys_nor_what_other_models_write(open_path: Path) -> None:
    secret = open_path / "master.key"
    secret.write_text("secret")
    secret.chmod(0o600)
    async with machine(open_path, users=USERS) as here:
        spec = group(here.models.add("iris"), replicas=2)
        here.run(spec)
        first, second = await here.until_ready(spec)
        mine = await ask(first, run="[*os.getresuid(), *os.getresgid(), *os.getgroups()]")
        others = await ask(second, run="[*os.getresuid(), *os.getresgid(), *os.getgroups()]")
        assert set(mine) == {mine[0]}
        assert set(mine).isdisjoint(others)
        assert {mine[0], others[0]} <= set(USERS)

        async def can(replica: Any, path: Path, how: str) -> bool:
            return bool(await ask(replica, run=f"os.access({str(path)!r}, os.{how})"))

        [model] = (here.folder / "models").iterdir()
        assert await can(first, model / "MLmodel", "R_OK")
        assert not await can(first, model / "MLmodel", "W_OK")
        assert not await can(first, model, "W_OK")
        assert not await can(first, secret, "R_OK")
        own, other = (here.folder / "replicas" / one.id for one in (first, second))
        assert await can(first, own, "W_OK")
        assert not await can(first, other, "X_OK")
        pid = await ask(second, run="os.getpid()")
        assert not await can(first, Path(f"/proc/{pid}/environ"), "R_OK")
        # Of the launcher itself: neither its memory nor what it has open.
        assert not await can(first, Path(f"/proc/{os.getpid()}/environ"), "R_OK")
        assert not await can(first, Path(f"/proc/{os.getpid()}/fd"), "R_OK")


@as_root
async def test_of_a_directory_for_its_owner_alone_a_model_sees_what_it_needs(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "modelplane.db").write_text("readable by all who come so far")
    async with machine(data, users=USERS) as here:
        spec = group(here.models.add("iris"))
        here.run(spec)
        [replica] = await here.until_ready(spec)
        assert await ask(replica, run=f"os.listdir({str(data)!r})") == ["launcher"]
        assert await ask(replica, run=f"len(os.listdir({str(here.folder / 'models')!r}))") == 1
        assert await ask(replica, run="os.path.exists('MLmodel')") is False
        assert await ask(replica, run="open('own', 'w').write('x')") == 1
        await here.until((here.folder / "replicas" / replica.id / "own").exists)


@as_root
async def test_variables_that_loaders_obey_hold_only_once_root_is_given_up(open_path: Path) -> None:
    witness = open_path / "witness"
    startup = open_path / "startup"
    startup.mkdir()
    startup.chmod(0o755)
    (startup / "usercustomize.py").write_text(f"open({str(witness)!r}, 'w')")
    async with machine(open_path, users=USERS) as here:
        chosen = {"PYTHONPATH": str(startup), "PYTHONSTARTUP": str(startup / "usercustomize.py")}
        spec = group(here.models.add("iris"), environment=chosen)
        here.run(spec)
        await here.until_ready(spec)
        assert not witness.exists()


@as_root
async def test_what_leaves_its_session_is_found_by_its_user(open_path: Path) -> None:
    code = (
        "__import__('subprocess').Popen(['env', '-i', 'setsid', 'sleep', '600'], "
        "start_new_session=True).pid"
    )
    async with machine(open_path, users=USERS) as here:
        spec = group(here.models.add("iris"))
        here.run(spec)
        [replica] = await here.until_ready(spec)
        user = await ask(replica, run="os.getuid()")
        await ask(replica, run=code)
        assert [one for one in seen.look() if one.user == user]
        here.run()
        await here.until_gone(spec)
        assert not [one for one in seen.look() if one.user == user]


@as_root
def test_a_user_is_one_replicas_at_a_time(tmp_path: Path) -> None:
    users, others = Users(USERS[:2], tmp_path), Users(USERS[:2], tmp_path)
    first, second = users.take(), others.take()
    assert first
    assert second
    assert {first.number, second.number} == set(USERS[:2])
    with pytest.raises(NoUserLeft):
        users.take()
    first.release(tmp_path / "left")
    again = others.take()
    assert again
    assert again.number == first.number
    again.release()
    (tmp_path / "left").touch()
    second.release(tmp_path / "left")
    # Not while anything is left of whoever was it before.
    found = others.take()
    assert found
    assert found.number == first.number
    with pytest.raises(NoUserLeft):
        others.take()
    found.release()


@as_root
def test_a_user_is_given_again_as_late_as_can_be(tmp_path: Path) -> None:
    users = Users(USERS[:3], tmp_path)
    given = []
    for _ in range(4):
        user = users.take()
        assert user
        given.append(user.number)
        user.release()
    assert given == [*USERS[:3], USERS[0]]


@as_root
async def test_what_all_may_write_elsewhere_is_a_replicas_own(open_path: Path) -> None:
    async with machine(open_path, users=USERS) as here:
        spec = group(here.models.add("iris"), replicas=2)
        here.run(spec)
        first, second = await here.until_ready(spec)
        for folder in map(Path, ("/tmp", "/var/tmp", "/dev/shm")):
            assert await ask(first, run=f"open('{folder}/mine', 'w').write('x')") == 1
            assert "mine" not in await ask(second, run=f"os.listdir('{folder}')")
            assert not os.access(folder / "mine", os.F_OK)
        # On the disk, where its own files are.
        assert os.access(here.folder / "replicas" / first.id / "tmp" / "mine", os.F_OK)
        size = "os.statvfs('/dev/shm').f_blocks * os.statvfs('/dev/shm').f_bsize"
        assert await ask(first, run=size) == 64 << 20


def test_a_folder_that_others_cannot_pass_is_told(open_path: Path) -> None:
    assert hidden_part(open_path / "launcher") is None
    (open_path / "data").mkdir(mode=0o700)
    assert hidden_part(open_path / "data" / "launcher") == (open_path / "data").resolve()


async def test_replicas_die_with_their_launcher_and_what_they_left_is_ended(tmp_path: Path) -> None:
    process = subprocess.Popen(  # noqa: ASYNC220 - it is waited for at once
        [sys.executable, "-m", "tests.launcher.local.run_and_wait", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdout
    pid, *children = map(int, process.stdout.readline().split())
    assert len(children) == 2
    process.kill()
    process.wait()
    process.stdout.close()
    while _is_alive(pid):
        await asyncio.sleep(0.01)
    assert all(map(_is_alive, children))
    async with machine(tmp_path) as here:
        assert list((here.folder / "replicas").iterdir()) == []
        while any(map(_is_alive, children)):
            await asyncio.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
