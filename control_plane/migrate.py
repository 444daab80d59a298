"""The command `modelplane migrate`: brings a database up to date before control planes start.

A control plane does the same when it starts; a job that runs first tells of a failure while the old
ones still answer. Before: `modelplane`. After: `store.migrate`.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.settings import Settings, load_settings
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import migrate


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    try:
        print(asyncio.run(run(load_settings(argv, "modelplane migrate"))))  # noqa: T201 - for a person
    except (ValueError, OSError, RuntimeError, StoreUnavailable) as error:
        print(f"modelplane migrate: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    return 0


async def run(settings: Settings) -> str:
    """Apply all migrations that the database lacks; return what was done, for a person.

    Args:
        settings: Say which database; nothing else uses it.

    Raises:
        OSError: There is no place for an SQLite database.
        StoreUnavailable: The database does not answer.
        DatabaseUnusable: It is of another release, or damaged.
    """
    async with aclosing(Database(settings.url)) as database:
        before, after = await migrate(database)
    if before == after:
        return f"schema {after}: nothing to do"
    return f"schema {after}; it was {before}" if before else f"schema {after}: made"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
