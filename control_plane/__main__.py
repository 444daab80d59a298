"""Run the control plane until it is told to stop: `modelplane control-plane`."""

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence

import uvloop
from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.garbage import tune_garbage_collection
from modelplane.adapters.shared.telemetry import configure_logging, log_fields, serve_metrics
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.secrets.keyring import opened_keyring
from modelplane.control_plane.server.serving import serving
from modelplane.control_plane.settings import Settings, load_settings

_log = logging.getLogger("modelplane.control_plane")


def main(argv: Sequence[str]) -> int:
    """Run the control plane; return the exit code."""
    settings = load_settings(argv)
    configure_logging(settings.log_level)
    try:
        if not settings.admin_token:
            raise ValueError("MODELPLANE_ADMIN_TOKEN must be set.")  # noqa: TRY301 - told like all others
        uvloop.run(_run(settings))
    except (ValueError, OSError, RuntimeError, StoreUnavailable) as error:
        # `modelplane up` shows the last line: what the log still holds back goes before it.
        logging.shutdown()
        print(f"modelplane control-plane: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    return 0


async def _run(settings: Settings) -> None:
    tune_garbage_collection()
    registry = CollectorRegistry()
    host, _, port = settings.control_plane_metrics_listen.rpartition(":")
    serve_metrics(host, int(port), registry)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with (
        opened_keyring(settings) as keyring,
        serving(settings, keyring, registry) as ports,
    ):
        # Nor what has been loaded since.
        tune_garbage_collection()
        _log.info("serving", extra=log_fields(api_port=ports.api, snapshot_port=ports.snapshot))
        await stop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            # From now on it ends the process at once, whatever is still answered.
            loop.remove_signal_handler(number)
        _log.info("draining")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
