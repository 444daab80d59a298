"""Users that replicas run as, each as one of its own: so none can read what another one writes.

A user is nobody's but a replica's for as long as its lock is held, also among several launchers on
a machine; what runs as a user that was free is left over, and killed. Used by `replica.py`.
"""

import fcntl
import logging
import os
import sys
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.local import seen

_LOCKS = Path("/run/modelplane-users")
# CAP_CHOWN, CAP_KILL, CAP_SETGID, CAP_SETUID: bits of the effective capabilities.
_NEEDED = (0, 5, 6, 7)
_CAP_SYS_ADMIN = 21

_log = logging.getLogger(__name__)


class NoUserLeft(Exception):
    """All users are taken."""


class User:
    """A user that is held.

    Attributes:
        number: Its id, and that of its group.
    """

    def __init__(self, number: int, lock: int) -> None:
        self.number = number
        self._lock = lock

    def release(self, left: Path | None = None) -> None:
        """Let others have it, unless something of it is left: then it stays taken.

        Args:
            left: What should be gone by now.
        """
        runs = any(one.user == self.number for one in seen.look())
        if runs or (left is not None and left.exists()):
            fields = log_fields(user=self.number, directory=str(left or ""))
            _log.warning(
                "a user of replicas has left something, and is not given again", extra=fields
            )
            return
        os.close(self._lock)


class Users:
    """The users of a range.

    Args:
        numbers: Their ids; empty: replicas run as the launcher.
        locks: Directory of the locks, the same for all launchers of the machine.
    """

    def __init__(self, numbers: Sequence[int], locks: Path = _LOCKS) -> None:
        self._numbers = numbers
        self._locks = locks
        # Each is given again as late as can be.
        self._next = 0
        if numbers:
            locks.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def separate(self) -> bool:
        """Whether replicas run as users of their own."""
        return bool(self._numbers)

    def take(self) -> User | None:
        """Return a user that nothing runs as; None: replicas run as the launcher.

        Raises:
            NoUserLeft: All are taken.
            OSError: A lock cannot be made.
        """
        if not self._numbers:
            return None
        count = len(self._numbers)
        for offset in range(count):
            place = (self._next + offset) % count
            if user := self._try(self._numbers[place]):
                self._next = place + 1
                return user
        raise NoUserLeft(f"all {len(self._numbers)} users of MODELPLANE_LAUNCHER_USERS are taken")

    def end_leftovers(self, numbers: Collection[int]) -> None:
        """Kill what runs as some users, where no other launcher holds them."""
        for number in set(numbers) & set(self._numbers):
            if user := self._try(number):
                user.release()

    def _try(self, number: int) -> User | None:
        lock = os.open(self._locks / str(number), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        if left := [one.pid for one in seen.look() if one.user == number]:
            # The next time they are gone.
            seen.kill(left)
            os.close(lock)
            return None
        return User(number, lock)


def can_change_users() -> bool:
    """Return whether this process may start others as other users."""
    return os.geteuid() == 0 and all(_capabilities() >> bit & 1 for bit in _NEEDED)


@cache
def can_mount() -> bool:
    """Return whether this process may give others folders of their own for those of all."""
    return bool(_capabilities() >> _CAP_SYS_ADMIN & 1)


def _capabilities() -> int:
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0
