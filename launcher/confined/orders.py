"""What a process is told that `enter.py` turns into a confined one.

Used by `local/process.py` for replicas and for builds that run as another user, and by
`environments/build.py` for those that run as this process's.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelplane.launcher.confined.views import SHARED_BYTES, View, views

# What is started, with an empty environment; it reads its orders from standard input.
ENTER = (sys.executable, "-I", "-S", str(Path(__file__).with_name("enter.py")))


@dataclass(frozen=True, slots=True)
class Orders:
    """What to become.

    Attributes:
        command: What to run.
        environment: All its variables.
        directory: Its working directory.
        user: User that it runs as; None: this process's.
        needs: Files and folders that it needs, beside what every user sees.
        limits: Of what it may use, by names in `resource`.
        umask: What others may not do with the files that it makes.
        temporary: A folder of its own in the place of `/tmp` and the like; None: it has the
            machine's.
        shared_bytes: Room for memory that its programs share, where it has a folder of its own.
    """

    command: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)
    directory: Path
    user: int | None
    needs: Sequence[Path]
    limits: Mapping[str, int]
    umask: int = 0o077
    temporary: Path | None = None
    shared_bytes: int = SHARED_BYTES

    def written(self) -> bytes:
        """Return them as `enter.py` reads them."""
        document = {
            "command": self.command,
            "environment": dict(self.environment),
            "directory": str(self.directory),
            "user": self.user or 0,
            "views": self._views(),
            "parent": os.getpid(),
            "limits": dict(self.limits),
            "umask": self.umask,
        }
        return json.dumps(document).encode()

    def _views(self) -> list[View]:
        if self.user is None:
            return []
        return views(self.needs, self.temporary, self.shared_bytes)
