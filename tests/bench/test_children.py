"""Programs that a benchmark starts end with it."""

import sys
from pathlib import Path

import pytest

from bench.children import child
from bench.processes import is_zombie

# Starts a process, tells of it, and leaves it behind when it is asked to end.
_NEGLIGENT = """
import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(left.pid, flush=True)
left.wait()
"""


async def test_what_a_program_has_started_ends_with_it(tmp_path: Path) -> None:
    command = (sys.executable, "-c", _NEGLIGENT)
    async with child(*command, settings={}, directory=tmp_path) as started:
        assert started.process.stdout
        left = int(started.process.stdout.readline())
        started.check()
        assert not is_zombie(left)
    assert is_zombie(left)


async def test_a_program_that_has_ended_is_told_of(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('this is why')")
    async with child(*command, settings={}, directory=tmp_path) as started:
        started.process.wait()
        with pytest.raises(RuntimeError, match="this is why"):
            started.check()
