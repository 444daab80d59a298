"""Runs one worker: inside an Envoy, or as a gRPC server of its own."""

import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from modelplane.adapters.telemetry import configure_logging, log_fields
from modelplane.data_plane.settings import identified
from modelplane.deploy.worker.envoy_process import EnvoyProcess
from modelplane.deploy.worker.host import is_embedded
from modelplane.deploy.worker.options import WorkerOptions, load_options

_USAGE_ERROR = 2
_log = logging.getLogger("modelplane.deploy.worker")


def main(argv: Sequence[str]) -> int:
    """Run a worker until SIGTERM or SIGINT; return the process's exit code."""
    options = load_options(argv)
    try:
        embedded, obstacle = is_embedded(options.worker_host)
        if embedded:
            with tempfile.TemporaryDirectory(prefix="modelplane-worker-") as directory:
                return _run_envoy(EnvoyProcess(options, Path(directory)), options)
        _check_no_public_port(options, obstacle)
    except ValueError as error:
        sys.stderr.write(f"modelplane worker: {error}\n")
        return _USAGE_ERROR
    if obstacle:
        sys.stderr.write(f"the worker runs beside Envoy, not inside it: {obstacle}\n")
    from modelplane.data_plane.__main__ import run  # noqa: PLC0415 - the process around Envoy stays small

    return run(identified(options))


def _check_no_public_port(options: WorkerOptions, obstacle: str) -> None:
    if options.public_listen:
        reason = obstacle or "--worker-host is grpc"
        raise ValueError(f"--public-listen needs a worker inside Envoy: {reason}")


def _run_envoy(envoy: EnvoyProcess, options: WorkerOptions) -> int:
    configure_logging(options.log_level)
    try:
        return asyncio.run(envoy.run())
    except OSError as error:
        _log.error("the worker cannot start", extra=log_fields(reason=str(error)))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
