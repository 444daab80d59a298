"""Run the control plane until it is told to stop: `modelplane control-plane`."""

import asyncio
import base64
import binascii
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from adapters.telemetry import configure_logging, log_fields, serve_metrics
from control_plane.encryption import load_or_create_master_key
from control_plane.errors import StoreUnavailable
from control_plane.server import serving
from control_plane.settings import Settings, load_settings

_log = logging.getLogger("control_plane")


def main(argv: Sequence[str]) -> int:
    """Run the control plane; return the exit code."""
    settings = load_settings(argv)
    configure_logging(settings.log_level)
    try:
        master_key = _master_key(settings)
        uvloop.run(_run(settings, master_key))
    except (ValueError, OSError, RuntimeError, StoreUnavailable) as error:
        print(f"modelplane control-plane: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    return 0


async def _run(settings: Settings, master_key: bytes) -> None:
    registry = CollectorRegistry()
    host, _, port = settings.control_plane_metrics_listen.rpartition(":")
    serve_metrics(host, int(port), registry)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serving(settings, master_key, registry) as ports:
        _log.info("serving", extra=log_fields(api_port=ports.api, snapshot_port=ports.snapshot))
        await stop.wait()
        _log.info("draining")


def _master_key(settings: Settings) -> bytes:
    for name, value in (
        ("MODELPLANE_ADMIN_TOKEN", settings.admin_token),
        ("MODELPLANE_WORKER_TOKEN", settings.worker_token),
    ):
        if not value:
            raise ValueError(f"{name} must be set.")
    if settings.master_key:
        try:
            return base64.b64decode(settings.master_key, validate=True)
        except binascii.Error:
            raise ValueError("MODELPLANE_MASTER_KEY must be base64.") from None
    data_dir = Path(settings.data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return load_or_create_master_key(data_dir / "master-key")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
