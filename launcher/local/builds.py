"""Builds of environments as users of their own, who see their own files alone.

Used by `../environments/build.py`, whose `Sandbox` it is, where the launcher is root.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from modelplane.launcher.environments.build import Log, Program, Run
from modelplane.launcher.environments.failures import EnvironmentFailed
from modelplane.launcher.local.process import Start, start_process
from modelplane.launcher.local.users import NoUserLeft, Users

_UMASK = 0o022


class BuildUsers:
    """The users of builds.

    Args:
        users: Those of replicas, of which a build takes one for as long as it lasts.
        fetcher: Another one, for uv alone; packages that were fetched stay its own.
    """

    def __init__(self, users: Users, fetcher: int) -> None:
        self._users = users
        self._fetcher = fetcher

    @asynccontextmanager
    async def fetching(self, folder: Path, cache: Path) -> AsyncIterator[Run]:
        """Give both to the user that only uv runs as; its environment is nobody's to change."""
        for given in (folder, cache):
            if given.stat().st_uid != self._fetcher:
                await asyncio.to_thread(_give, given, self._fetcher)
        try:
            # As one, so that files of the cache can be linked into the environment.
            seen = (folder.parent,)
            yield partial(_run, self._fetcher, seen, is_alone=False)
        finally:
            await asyncio.to_thread(_take_back, folder, with_linked=False)

    @asynccontextmanager
    async def building(self, folder: Path) -> AsyncIterator[Run]:
        """Give a folder to a user that nothing else has, and take it back at the end.

        Raises:
            EnvironmentFailed: No user is left.
        """
        try:
            user = self._users.take()
        except NoUserLeft as error:
            raise EnvironmentFailed(f"The environment cannot be built now: {error}.") from error
        assert user  # noqa: S101 - where there are none, builds need no sandbox
        try:
            await asyncio.to_thread(_give, folder, user.number)
            yield partial(_run, user.number, (), is_alone=True)
        finally:
            # Before anything else can be that user.
            await asyncio.to_thread(_take_back, folder, with_linked=True)
            await asyncio.to_thread(user.release)


async def _run(
    user: int, seen: Sequence[Path], program: Program, log: Log, *, is_alone: bool
) -> int:
    def take(lines: bytes) -> None:
        for line in lines.decode(errors="replace").splitlines():
            log(line)

    start = Start(
        lambda _: program.command,
        program.variables,
        Path("/"),  # where no project is, whose settings uv would take
        user,
        (*seen, *program.needs),
        is_alone=is_alone,
        umask=_UMASK,
        temporary=Path(program.variables["TMPDIR"]),
    )
    process = await start_process(start, take)
    try:
        await process.exited
    finally:
        status = await asyncio.shield(process.end())
    return status


def _give(folder: Path, user: int) -> None:
    for path in _everything(folder):
        os.chown(path, user, user, follow_symlinks=False)


def _take_back(folder: Path, *, with_linked: bool) -> None:
    """Let nobody but root change what was built.

    Args:
        folder: What was built.
        with_linked: Whether also files that a cache has, too. Those that were fetched stay with the
            user that only uv runs as: it may link into the next environment only what is its own.
    """
    for path in _everything(folder):
        found = path.lstat()
        if not with_linked and stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
            continue
        os.chown(path, 0, 0, follow_symlinks=False)
        if not stat.S_ISLNK(found.st_mode):
            path.chmod(stat.S_IMODE(found.st_mode) & 0o755)


def _everything(folder: Path) -> Iterator[Path]:
    yield folder
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(parent, name)
