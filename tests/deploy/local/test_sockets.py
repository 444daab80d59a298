"""Where the sockets of a deployment are, and who may use them."""

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelplane.deploy.envoy.options import MAX_PATH_BYTES, Address
from modelplane.deploy.local.data_dir import DataDir
from modelplane.deploy.local.sockets import socket_directory
from tests.deploy.local.deployments import running


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Give a directory; pytest's own have long names."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def test_they_are_in_the_data_directory(short_path: Path) -> None:
    left = short_path / "run" / "left.sock"
    left.parent.mkdir()
    left.touch()
    with socket_directory(DataDir(short_path)) as found:
        assert found == short_path / "run"
        assert mode_of(found) == 0o700
        assert list(found.iterdir()) == []
        (found / "worker.sock").touch()
    assert not found.exists()


@pytest.mark.parametrize("character", ["d", "ü"])
def test_they_are_elsewhere_when_its_path_is_too_long(tmp_path: Path, character: str) -> None:
    long = tmp_path / (character * (MAX_PATH_BYTES // len(character.encode())))
    with socket_directory(DataDir(long)) as found:
        assert not found.is_relative_to(tmp_path)
        assert mode_of(found) == 0o700
        Address.of_path(str(found / "worker-100-a.sock"))
    assert not found.exists()


async def test_a_deployment_runs_in_a_directory_with_a_long_path(tmp_path: Path) -> None:
    async with running(tmp_path / ("d" * MAX_PATH_BYTES)) as deployment:
        worker = Address.parse(deployment.state["workers"][0]["listen"])
        sockets = Path(worker.path).parent
        assert mode_of(sockets) == 0o700
        assert {mode_of(path) for path in sockets.glob("*.sock")} == {0o600}
        assert (await deployment.client.call("GET", "/health")).ok
        assert await deployment.stop() == 0
    assert not sockets.exists()
