"""Which of the Pythons of a machine runs a model."""

import sys
from pathlib import Path

import pytest

from modelplane.launcher.environments import pythons
from modelplane.launcher.environments.failures import EnvironmentFailed
from modelplane.launcher.environments.pythons import Python, Pythons

_OWN = sys.version_info[:2]
_BEFORE = (3, _OWN[1] - 1)
_LONG_BEFORE = (3, _OWN[1] - 3)


def _machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, opened: list[tuple[int, int]]
) -> Pythons:
    """A machine where models may run some Pythons, and not that of this process."""
    found = []
    for place, versions in {"open": opened, "closed": [_OWN]}.items():
        for major, minor in versions:
            path = tmp_path / place / f"python{major}.{minor}"
            path.parent.mkdir(exist_ok=True)
            path.touch()
            found.append(Python(path, (major, minor, 1)))

    async def list_them(*_: object) -> list[Python]:
        return found

    monkeypatch.setattr(pythons, "_list", list_them)
    monkeypatch.setattr(pythons, "open_to_all", lambda path: path.parent.name == "open")
    return Pythons([], {}, shared=True)


async def test_what_names_no_version_runs_on_the_nearest_that_models_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = _machine(monkeypatch, tmp_path, opened=[_LONG_BEFORE, _BEFORE])
    assert (await machine.find("")).version[:2] == _BEFORE


async def test_what_names_a_version_gets_that_or_is_told_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = _machine(monkeypatch, tmp_path, opened=[_BEFORE])
    assert (await machine.find(f"3.{_BEFORE[1]}")).version[:2] == _BEFORE
    with pytest.raises(EnvironmentFailed) as refused:
        await machine.find(f"3.{_OWN[1]}")
    assert f"there are 3.{_BEFORE[1]}. Install it" in str(refused.value)
    assert f"Python 3.{_OWN[1]} is there, but below a directory" in str(refused.value)


async def test_where_models_may_use_none_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = _machine(monkeypatch, tmp_path, opened=[])
    with pytest.raises(EnvironmentFailed, match=r"there are none.*is there, but below"):
        await machine.find("")
