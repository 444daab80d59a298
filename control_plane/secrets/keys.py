"""The command `modelplane keys`: list, replace and drop keys beside a running deployment.

After: `keyring`, `rotation`; `signing` for the keys that tokens are signed with.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence

from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.secrets.custody import ensure_master_key
from modelplane.control_plane.secrets.encryption import KEY_BYTES, Sealer
from modelplane.control_plane.secrets.key_file import KeyFile
from modelplane.control_plane.secrets.keyring import DeploymentKeys, local_key, opened_keyring
from modelplane.control_plane.secrets.rotation import count_by_key, rewrap_all
from modelplane.control_plane.secrets.signing import rotate_signing_key
from modelplane.control_plane.settings import Settings, load_settings
from modelplane.control_plane.store.database import Database, existing_database
from modelplane.control_plane.store.migrate import require_schema

Say = Callable[[str], None]

_DESCRIPTION = """\
list    the master keys, and how many values each wraps
rotate  make a new master key and wrap every value with it; or finish what was begun
drop    take a master key that wraps nothing any more out of the key file
rotate-signing
        make a new key that tokens of service principals are signed with; those signed with the
        old ones stay good until they expire, unless --revoke voids all of them at once

Options after that are those of `modelplane control-plane`, such as --data-dir and --database-url.
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="modelplane keys",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", add_help=False)
    commands.add_parser("rotate", add_help=False)
    commands.add_parser("drop", add_help=False).add_argument("key_id")
    signing = commands.add_parser("rotate-signing", add_help=False)
    signing.add_argument("--revoke", action="store_true")
    parsed, rest = parser.parse_known_args(argv)
    try:
        asyncio.run(_run(parsed, load_settings(rest, "modelplane keys"), _print))
    except (ValueError, OSError, RuntimeError, StoreUnavailable) as error:
        print(f"modelplane keys: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    return 0


async def _run(parsed: argparse.Namespace, settings: Settings, say: Say) -> None:
    async with existing_database(settings.url) as database, opened_keyring(settings) as keyring:
        await require_schema(database)
        if parsed.command != "list":
            await ensure_master_key(database, keyring)
        match parsed.command:
            case "list":
                await list_keys(keyring, database, say)
            case "rotate":
                await rotate(keyring, database, say)
            case "rotate-signing":
                await rotate_signing(Sealer(keyring), database, say, revoke=parsed.revoke)
            case _:
                await drop(keyring, database, parsed.key_id, say)


async def list_keys(keyring: DeploymentKeys, database: Database, say: Say) -> None:
    """Say which master keys there are, and how much each wraps."""
    counts = await count_by_key(database)
    for position, key in enumerate(keyring.master_keys()):
        state = "current" if position == 0 else "old"
        say(f"{key.id}  {state}  wraps {counts.pop(key.id, 0)}")
    for key_id, count in sorted(counts.items()):
        say(f"{key_id or '(not named)'}  {'missing' if key_id else 'old'}  wraps {count}")


async def rotate(keyring: DeploymentKeys, database: Database, say: Say) -> None:
    """Make a new master key, unless one was made before, and wrap everything with it.

    Raises:
        ValueError: There is nothing to do, or some values cannot be opened.
    """
    counts = await count_by_key(database)
    current = keyring.master_keys()[0].id
    if counts.keys() - {current}:
        say(f"wrapping with {current} what an older key still wraps")
    elif keyring.file is None:
        raise ValueError(
            f"everything is wrapped with {current}; put a new key before it into the setting of "
            "every control plane first"
        )
    else:
        current = _add_key(keyring.file)
        say(f"made the master key {current}")
    rotation = await rewrap_all(
        database, Sealer(keyring), lambda count: say(f"wrapped {count} values")
    )
    if rotation.broken:
        shown = ", ".join(sorted(rotation.broken)[:10])
        raise ValueError(
            f"no master key opens {len(rotation.broken)} of the values, which are left as they "
            f"are: {shown}"
        )
    say(f"done: {current} wraps everything; the keys before it can be dropped")


async def rotate_signing(sealer: Sealer, database: Database, say: Say, *, revoke: bool) -> None:
    """Make a new key that tokens are signed with; `revoke` voids those signed so far."""
    await rotate_signing_key(database, sealer, system_clock, revoke=revoke)
    say("done: all tokens so far are void" if revoke else "done: the new key signs in 30 seconds")


async def drop(keyring: DeploymentKeys, database: Database, key_id: str, say: Say) -> None:
    """Take an old master key out of the key file.

    Raises:
        ValueError: It is not in the file, or still needed.
    """
    file = keyring.file
    if file is None:
        raise ValueError("the master keys are not in a file; take it out of the setting")
    with file.locked():
        keys = file.read()
        left = [key for key in keys if local_key(key).id != key_id]
        if len(left) == len(keys):
            raise ValueError(f"{file.path} holds no key {key_id}")
        if local_key(keys[0]).id == key_id:
            raise ValueError(f"{key_id} is the current key; rotate first")
        await _require_unused(database, key_id)
        file.write(left)
        try:
            # A value that was being sealed meanwhile is stored by now.
            await _require_unused(database, key_id)
        except ValueError:
            file.write(keys)
            raise
    say(f"dropped {key_id}")


async def _require_unused(database: Database, key_id: str) -> None:
    counts = await count_by_key(database)
    # What names no key may need any of them.
    if count := counts[key_id] + counts[""]:
        raise ValueError(f"{key_id} may still wrap {count} values; rotate first")


def _add_key(file: KeyFile) -> str:
    with file.locked():
        new = os.urandom(KEY_BYTES)
        file.write([new, *file.read()])
    return local_key(new).id


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - for a person
