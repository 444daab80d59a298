"""Trees of processes, as /proc tells them."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from bench.processes import (
    CpuCount,
    busy_seconds,
    cpu_seconds,
    each_of,
    is_zombie,
    memory_mib,
    peak_memory_mib,
    process_name,
    process_tree,
    proportional_memory_mib,
    tree_cpu_seconds,
    tree_peak_memory_mib,
)

# Starts threads that end at once.
_BUSY = """
import threading
while True:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
"""
# Starts a child of its own, tells of it, and runs until its input ends.
_PARENT = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "print(flush=True); input()"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
child.communicate(b"\\n")
"""


def test_the_tree_of_a_process_has_the_children_of_its_children() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdin
        assert parent.stdout
        grandchild = int(parent.stdout.readline())
        pids = process_tree(os.getpid())
        assert {os.getpid(), parent.pid, grandchild} <= set(pids)
        assert process_tree(parent.pid) == [parent.pid, grandchild]
        # What is looked at later may have grown meanwhile.
        used, most = cpu_seconds(grandchild), peak_memory_mib(parent.pid)
        assert tree_cpu_seconds(parent.pid) >= used
        assert tree_peak_memory_mib(parent.pid) >= most + 1
        parent.stdin.close()
    assert parent.returncode == 0


def test_threads_that_end_while_they_are_looked_at_do_no_harm() -> None:
    # Each thread lives for a moment only, so that some vanish between the listing and the reading.
    program = (
        "import threading\nwhile True:\n t = threading.Thread(target=int)\n t.start()\n t.join()"
    )
    busy = subprocess.Popen([sys.executable, "-c", program])
    try:
        for _ in range(2000):
            assert process_tree(busy.pid) == [busy.pid]
    finally:
        busy.kill()
        busy.wait()
    assert process_tree(busy.pid) == [busy.pid]


# Works, tells of it, and waits.
_WORKED = """
import time
while time.process_time() < 0.1: pass
print(flush=True); input()
"""


def worked() -> "subprocess.Popen[bytes]":
    """Start a process, and return once it has used 0.1 s."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.readline()
    return process


def test_what_a_process_has_used_counts_when_it_has_ended() -> None:
    with worked() as process:
        count = CpuCount([process.pid])
        used = count.seconds()
        assert used >= 0.1
        process.communicate(b"\n")
    assert count.seconds() == used
    # What nobody had looked at before it ended is not known.
    assert CpuCount([process.pid]).seconds() == 0


def test_a_tree_counts_what_began_later_and_what_has_ended() -> None:
    count = CpuCount([os.getpid()], with_children=True)
    count.seconds()
    with worked() as process:
        seen = cpu_seconds(process.pid)
        assert count.seconds() - cpu_seconds(os.getpid()) > seen - 0.05
        process.communicate(b"\n")
    assert count.seconds() - cpu_seconds(os.getpid()) > seen - 0.05


@pytest.mark.parametrize(
    "measure",
    [cpu_seconds, memory_mib, peak_memory_mib, process_name, proportional_memory_mib],
    ids=lambda measure: measure.__name__,
)
def test_what_has_ended_is_told_and_left_out(measure: Callable[[int], object]) -> None:
    with worked() as process:
        process.communicate(b"\n")
    with pytest.raises(ProcessLookupError):
        measure(process.pid)
    assert each_of([process.pid, os.getpid()], measure).keys() == {os.getpid()}


def test_a_process_whose_parent_has_not_asked_for_it_yet_has_no_memory() -> None:
    with worked() as process:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.close()
        while not is_zombie(process.pid):
            pass
        assert not each_of([process.pid], memory_mib)
        assert not each_of([process.pid], proportional_memory_mib)
        assert not each_of([process.pid], process_name)
        assert tree_peak_memory_mib(process.pid) == 0


def test_the_machine_is_busy_with_what_runs_on_it() -> None:
    program = "import time\nwhile time.process_time() < 0.3: pass"
    before = busy_seconds()
    subprocess.run([sys.executable, "-c", program], check=True)
    # Linux counts in ticks.
    assert busy_seconds() - before > 0.2
