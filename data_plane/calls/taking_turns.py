"""Lets what takes long be done in steps, between which other calls get their turn."""

import asyncio
from collections.abc import Iterable

# So many characters are read before other calls get their turn.
_CHARACTERS = 64 * 1024


async def take_turns(steps: Iterable[int]) -> None:
    """Let something be read, step by step, each of which tells how much it was."""
    read = 0
    for size in steps:
        read += size
        if read >= _CHARACTERS:
            read = 0
            await asyncio.sleep(0)
