"""Ports that are free stay so until they are used: two deployments never pick the same one."""

import subprocess
import sys
from random import Random

import pytest

from modelplane.deploy.local import ports

# Picks a port, tells of it, and listens nowhere until its input ends.
_PICKING = """
import random, sys
from modelplane.deploy.local.ports import free_port
print(free_port(random.Random(1)), flush=True)
sys.stdin.read()
"""
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names without files")


@LINUX
def test_what_one_process_has_picked_no_other_one_does() -> None:
    command = (sys.executable, "-c", _PICKING)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin
        assert other.stdout
        theirs = int(other.stdout.readline())
        assert ports.free_port(Random(1)) != theirs
        assert ports.pick_ports(["a"], {"a": theirs}, Random(1))["a"] != theirs
        other.stdin.close()
    # What it held is free again.
    assert ports.pick_ports(["a"], {"a": theirs}, Random(1)) == {"a": theirs}


def test_a_process_picks_each_port_once_and_has_its_own_again() -> None:
    one, other = (ports.free_port(Random(2)) for _ in range(2))
    assert one != other
    assert ports.pick_ports(["a", "b"], {"a": one, "b": one}, Random(2))["a"] == one
