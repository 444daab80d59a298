"""The command `modelplane up`: everything on this machine, until it is told to stop.

Called by `cli.py`; `deploy/local/supervisor.py` does it.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from modelplane.adapters.shared.settings import environment, load
from modelplane.deploy.local.options import UpError, UpOptions
from modelplane.deploy.local.supervisor import run


def main(argv: Sequence[str]) -> int:
    """Run the deployment; return the exit status."""
    environ = environment()
    options = load(UpOptions, "modelplane up", argv, environ)
    if not options.started_at:
        options = replace(options, started_at=datetime.now(UTC).timestamp())
    failures: list[UpError] = []
    try:
        asyncio.run(run(options, environ, lambda line: print(line, flush=True)))
    except* UpError as group:
        failures.append(_first(group))
    for failure in failures:
        print(f"modelplane up: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _first(group: BaseExceptionGroup[UpError]) -> UpError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
