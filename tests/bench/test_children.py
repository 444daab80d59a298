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
    async with child(*command, settings={}, directory=tmp_path, speaks=True) as started:
        left = int(started.first_line())
        started.check()
        assert not is_zombie(left)
    assert is_zombie(left)


async def test_a_program_that_has_ended_is_told_of(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('this is why')")
    async with child(*command, settings={}, directory=tmp_path) as started:
        started.process.wait()
        with pytest.raises(RuntimeError, match="this is why"):
            started.check()


# Writes more than a pipe holds, and ends.
_TALKATIVE = "print('first'); print('more ' * 100_000); print(flush=True)"


@pytest.mark.parametrize("speaks", [False, True])
async def test_a_program_that_writes_much_stands_still_for_nobody(
    tmp_path: Path, *, speaks: bool
) -> None:
    command = (sys.executable, "-c", _TALKATIVE)
    async with child(*command, settings={}, directory=tmp_path, speaks=speaks) as started:
        if speaks:
            assert started.first_line() == "first"
        assert started.process.wait() == 0
