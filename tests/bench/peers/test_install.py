"""The pins that the peers are installed from."""

import json
import re
from pathlib import Path

import pytest

import bench.peers
from bench.peers.__main__ import _GATEWAYS
from bench.peers.measurement import home_of

PINS = Path(bench.peers.__file__).parent / "requirements"


@pytest.mark.parametrize("path", sorted(PINS.glob("*.txt")), ids=lambda path: path.stem)
def test_the_pins_of_a_peer_hold_what_is_wanted(path: Path) -> None:
    [wanted] = path.with_suffix(".in").read_text().split()
    pinned = re.sub(r"\[\w+\]", "", wanted)
    assert any(line.startswith(f"{pinned} ") for line in path.read_text().splitlines())


def test_the_lock_of_node_packages_is_whole_and_names_no_registry() -> None:
    lock = json.loads((PINS / "portkey-lock.json").read_text())
    wanted = json.loads((PINS / "portkey.json").read_text())
    packages = lock["packages"]
    assert packages[""]["dependencies"] == wanted["dependencies"]
    assert packages["node_modules/@hono/node-server"]["version"] in wanted["overrides"].values()
    assert not [name for name, package in packages.items() if "resolved" in package]


def test_a_peer_is_called_by_the_version_that_is_pinned() -> None:
    pins = "".join(path.read_text() for path in sorted(PINS.iterdir()))
    for gateway in _GATEWAYS:
        version = re.search(r"\d+\.[\d.]*\d", gateway.name)
        assert bool(version) is bool(gateway.documentation)
        assert version is None or version[0] in pins, gateway.name


def test_the_tables_of_a_governed_peer_are_of_the_version_that_runs() -> None:
    pinned = (PINS / "tensorzero-source.pin").read_text().split()[0]
    assert pinned == (PINS / "tensorzero.in").read_text().strip()


def test_each_gateway_has_a_home_of_its_own() -> None:
    assert len({home_of(gateway, PINS) for gateway in _GATEWAYS}) == len(_GATEWAYS)
