"""`modelplane worker`: which host it takes, and what it says of wrong settings."""

import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import grpc
import pytest

from modelplane.adapters.settings import variable_name
from modelplane.deploy.cli import main
from modelplane.deploy.worker import host
from modelplane.deploy.worker.__main__ import main as run_worker
from modelplane.deploy.worker.host import is_embedded
from modelplane.deploy.worker.options import WorkerOptions, load_options
from tests.data_plane.conftest import collect
from tests.data_plane.fakes import FakeControlPlane
from tests.deploy.worker.workers import STREAM, SlowUpstream, query, serving, started

NO_WHEEL = "the package pyvoy is not installed"


@pytest.fixture
def no_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "obstacle", lambda: NO_WHEEL)


def test_inside_envoy_is_the_default_wherever_it_can_be_had() -> None:
    assert load_options([]).worker_host == "embedded"
    assert is_embedded("embedded") == (True, "")
    assert is_embedded("grpc") == (False, "")


def test_the_host_comes_from_flags_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPLANE_WORKER_HOST", "grpc")
    assert load_options([]).worker_host == "grpc"
    assert load_options(["--host", "embedded"]).worker_host == "embedded"
    assert load_options(["--worker-host", "embedded"]).worker_host == "embedded"


def test_the_readme_lists_every_setting() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    for item in fields(WorkerOptions):
        assert f"| `{variable_name(item.name)}` |" in readme


@pytest.mark.parametrize("command", ["worker", "up"])
def test_where_it_cannot_be_had_one_line_says_why(command: str, tmp_path: Path) -> None:
    # What each does next is known by how it fails. In a process of its own: it sets up logging.
    code = f"import deploy.worker.host as host; host.obstacle = lambda: {NO_WHEEL!r}\n"
    code += "import sys; from deploy.cli import main; sys.exit(main(sys.argv[1:]))"
    flags = {
        "worker": ["--worker-listen", "nowhere:x", "--journal-dir", str(tmp_path)],
        "up": ["--host", "nowhere.invalid", "--data-dir", str(tmp_path)],
    }
    result = subprocess.run(
        [sys.executable, "-c", code, command, *flags[command]],
        env={"PATH": os.defpath, "MODELPLANE_WORKER_METRICS_LISTEN": "127.0.0.1:0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    assert [line for line in lines if NO_WHEEL in line] == [lines[0]]
    assert lines[0].endswith(f"beside Envoy, not inside it: {NO_WHEEL}")
    assert any("cannot start" in line or "cannot listen" in line for line in lines[1:])


@pytest.mark.usefixtures("no_envoy")
def test_a_public_port_cannot_be_had_without_envoy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_worker(["--public-listen", "127.0.0.1:0"]) == 2
    assert capsys.readouterr().err == (
        f"modelplane worker: --public-listen needs a worker inside Envoy: {NO_WHEEL}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "nonsense"], "--worker-host must be embedded or grpc, not 'nonsense'"),
        (["--worker-listen", "9100"], "'9100' is not of the form host:port"),
        (["--public-listen", "x"], "'x' is not of the form host:port"),
        (["--public-listen", "a:1", "--host", "grpc"], "--worker-host is grpc"),
        (["--public-listen", "a:1", "--control-plane-api", "b"], "'b' is not of the form"),
        (["--public-listen", "a:1", "--public-tls-cert", "c"], "belong together"),
        (["--public-listen", "a:1", "--public-url", "d"], "must be https://host"),
        (
            ["--public-listen", "a:1", "--public-tls-cert", "c", "--public-tls-key", "d"],
            "cannot use the public certificate c with d: No such file",
        ),
    ],
)
def test_wrong_settings_are_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["worker", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("modelplane worker: ")
    assert error.count("\n") == 1
    assert words in error


async def test_settings_reach_the_worker_inside_envoy(tmp_path: Path) -> None:
    control_plane = FakeControlPlane()
    await control_plane.start()
    async with started(control_plane, tmp_path, "--worker-id", "worker-7") as worker:
        line = await worker.said("the worker serves inside Envoy")
        assert line["worker_id"] == "worker-7"
        hello = (await control_plane.next()).hello
        assert hello.worker_id == "worker-7"
    await control_plane.stop()


@pytest.mark.parametrize("hurried", [False, True])
async def test_beside_envoy_it_drains_as_well(tmp_path: Path, *, hurried: bool) -> None:
    async with (
        SlowUpstream() as upstream,
        serving(tmp_path, upstream, "--host", "grpc", "--drain-seconds", "3600") as worker,
        grpc.aio.insecure_channel(str(worker.address)) as channel,
    ):
        call = query(channel, STREAM)
        await call.read()
        worker.process.terminate()
        await worker.said("the worker drains")
        if hurried:
            worker.process.terminate()
        else:
            upstream.go_on.set()
        assert ((await collect(call)).status == 200) is not hurried
        assert await worker.ended() == (-signal.SIGTERM if hurried else 0)
