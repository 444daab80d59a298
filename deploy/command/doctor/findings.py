"""What a check is given, and what it finds.

Before: the modules of this folder that check; `examination` runs them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from modelplane.deploy.command.api.places import read_state
from modelplane.deploy.command.api.session import Session


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    # Not looked at, and why.
    SKIPPED = "skipped"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is.
        level: How bad it is.
        text: What was found.
        advice: What to do; empty: nothing.
    """

    subject: str
    level: Level
    text: str
    advice: str = ""


@dataclass
class Patient:
    """The deployment that is looked at: one that runs here, or is to run here.

    Attributes:
        session: The command.
        directory: Its data directory.
        host: Address of its public port.
        port: Its public port.
        offsets: How many seconds the clocks of others were ahead of this one, by who they are.
    """

    session: Session
    directory: Path
    host: str
    port: int
    offsets: dict[str, float] = field(default_factory=dict)

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment, which is taken for that of the deployment."""
        return self.session.environ

    def now(self) -> float:
        """Return the time of this machine's clock, seconds since the epoch."""
        return datetime.now(UTC).timestamp()

    @property
    def state(self) -> dict[str, Any]:
        """What a deployment that runs here tells of itself; empty where none does."""
        return read_state(self.directory)
