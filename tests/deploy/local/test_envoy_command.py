from pathlib import Path

import pytest

from modelplane.deploy.local import envoy_command as command
from modelplane.deploy.local.envoy_command import HotRestart, envoy_command, has_shared_memory


def test_an_envoy_that_can_be_replaced_says_how() -> None:
    first = HotRestart(7, 0, Path("/run/envoy"), 300)
    second = HotRestart(7, 1, Path("/run/envoy"), 300)
    arguments = envoy_command(Path("envoy.json"), "info", 1, second)
    assert "--disable-hot-restart" not in arguments
    assert arguments[arguments.index("--restart-epoch") + 1] == "1"
    assert "--skip-hot-restart-on-no-parent" in arguments
    assert "--skip-hot-restart-on-no-parent" not in envoy_command(Path("e"), "info", 1, first)
    assert first.shared_memory.name == "envoy_shared_memory_70"


def test_without_shared_memory_none_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "_SHARED_MEMORY", tmp_path / "none")
    assert not has_shared_memory()
    assert "--disable-hot-restart" in envoy_command(Path("e"), "info", 1, None)
