"""Trees of processes, as /proc tells them."""

import os
import subprocess
import sys

from bench.processes import (
    busy_seconds,
    cpu_seconds,
    peak_memory_mib,
    process_tree,
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


def test_the_machine_is_busy_with_what_runs_on_it() -> None:
    program = "import time\nwhile time.process_time() < 0.3: pass"
    before = busy_seconds()
    subprocess.run([sys.executable, "-c", program], check=True)
    # Linux counts in ticks.
    assert busy_seconds() - before > 0.2
