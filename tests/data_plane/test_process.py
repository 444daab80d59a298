"""What a worker's process is set to."""

import subprocess
import sys

# A worker up to where it serves, and what Python gives a thread at a time by then.
_SETTLE = """
import sys
from modelplane.data_plane import __main__ as worker

class Served(Exception):
    pass

def serve(*_):
    raise Served

worker.running_worker = serve
try:
    worker.main(["--worker-metrics-listen", "127.0.0.1:0"])
except Served:
    print(sys.getswitchinterval())
"""

# What only some deployments use, and who needs it loads it then.
_HEAVY = {"aioboto3", "aiohttp", "deltalake", "opentelemetry", "pyarrow", "pydantic", "sqlalchemy"}


def test_a_thread_beside_the_calls_holds_them_up_for_less_than_a_millisecond() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _SETTLE], check=True, capture_output=True, text=True, timeout=240
    )
    assert float(told.stdout) < 0.001


def test_nothing_is_loaded_that_an_idle_worker_does_not_use() -> None:
    load = "import sys, modelplane.data_plane.__main__; print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", load], check=True, capture_output=True, text=True, timeout=240
    )
    loaded = {name.partition(".")[0] for name in told.stdout.split()}
    assert "modelplane" in loaded
    assert not loaded & _HEAVY
