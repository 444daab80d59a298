"""The command `modelplane carry-over`: from the last schema before the first release to this one.

Before: `modelplane`. After: `store.carry_over`.
"""

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.secrets.credentials import references_in
from modelplane.control_plane.settings import Settings, load_settings
from modelplane.control_plane.store.carry_over import carry_over
from modelplane.control_plane.store.database import existing_database
from modelplane.control_plane.store.migrate import OLD_SCHEMAS, migrate, require_schema

Say = Callable[[str], None]


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    try:
        asyncio.run(run(load_settings(argv, "modelplane carry-over"), _print))
    except (ValueError, OSError, RuntimeError, StoreUnavailable) as error:
        print(f"modelplane carry-over: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    return 0


async def run(settings: Settings, say: Say) -> None:
    """Carry the database of a deployment over, all of it or nothing.

    Args:
        settings: Say which database; nothing else uses it.
        say: Tells the operator.

    Raises:
        ValueError: There is no such database, or there is a copy of it already.
        OSError: It cannot be copied.
        StoreUnavailable: The database does not answer.
        DatabaseUnusable: It has another schema, or is damaged.
    """
    async with existing_database(settings.url) as database:
        await require_schema(database, OLD_SCHEMAS[-1])
        if not database.is_postgresql:
            say(f"copied to {_copy(Path(database.place))}")
        count = await carry_over(database, references_in)
        await migrate(database)
    say(f"done: {count} endpoints, and all else as it was; start this release now")


def _copy(file: Path) -> Path:
    """Copy an SQLite database, what is in its log included, and return the copy."""
    copy = file.with_name(f"{file.stem}-schema-{OLD_SCHEMAS[-1]}{file.suffix}")
    try:
        # Not over one that is there, which may be the only one; and not for others to read.
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise ValueError(f"{copy} is there from another time; move it away first") from None
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    shutil.copymode(file, copy)
    return copy


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - for a person


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
