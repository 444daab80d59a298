"""The environment variables of a replica's process.

Before: `replica.py`.
"""

from collections.abc import Mapping
from pathlib import Path

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.byte_counts import in_words
from modelplane.adapters.shared.settings import environment

_TOKEN = "MODELPLANE_REPLICA_TOKEN"  # noqa: S105 - its name
_ASKED = "MODELPLANE_REPLICA_ASKED"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_PROCESSOR = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
# Each would start as many threads as the machine has processors.
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Of the system: for one, and, with room for what else it has, for all.
_MOST_VARIABLE_BYTES = 128 * 1024
_MOST_VARIABLES_BYTES = 1024 * 1024


def variables_of(spec: pb.GroupSpec, python: Path, directory: Path, token: str) -> dict[str, str]:
    """Return all its variables: nothing of the launcher's, and what its owner has chosen.

    Args:
        spec: What the replica is to be.
        python: Python of the model's environment.
        directory: The replica's own.
        token: What it asks its callers for.
    """
    threads = str(max(1, int(spec.size.cpus)))
    return {
        "PATH": f"{python.parent}:{_PATH}",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **dict.fromkeys(_THREADS, threads),
        # Threads that spin while they wait would starve the rest of a small machine.
        "OMP_WAIT_POLICY": "passive",
        **_of_processor(),
        **spec.environment,
        "HOME": str(directory),
        "TMPDIR": str(directory / "tmp"),
        _TOKEN: token,
        _ASKED: str(asked_file(directory)),
    }


def asked_file(directory: Path) -> Path:
    """Return where a replica notes when it was asked last; see `../model_server/last_asked.py`."""
    return directory / ".asked"


def unfit_variables(variables: Mapping[str, str]) -> str:
    """Return why no process can have these variables; empty: one can."""
    total = 0
    for name, value in variables.items():
        size = len(f"{name}={value}".encode())
        total += size
        if size >= _MOST_VARIABLE_BYTES or "\0" in value:
            what = "holds a NUL character" if "\0" in value else "is longer than 128 KiB"
            return f"Environment variable {name} {what}, which no process can have; change it."
    if total > _MOST_VARIABLES_BYTES:
        return (
            f"The environment variables have {in_words(total)} together, their secrets included; "
            f"a process can have {in_words(_MOST_VARIABLES_BYTES)}. Shorten them."
        )
    return ""


def _of_processor() -> dict[str, str]:
    """Return what the operator says of the processor: without it some libraries compute wrongly."""
    given = environment()
    return {name: given[name] for name in _PROCESSOR if name in given}
