"""Runs the emulator in a thread, for tests whose clients block; `server` holds the emulator."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from tests.emulators.openai.server import OpenAiEmulator


@contextmanager
def run_in_thread(port: int = 0) -> Iterator[OpenAiEmulator]:
    """Run an emulator in a thread of its own until the block ends.

    Reading its attributes and setting faults is safe from any thread.
    """
    started: SimpleQueue[tuple[OpenAiEmulator, asyncio.AbstractEventLoop, asyncio.Event]]
    started = SimpleQueue()

    async def run() -> None:
        ended = asyncio.Event()
        async with OpenAiEmulator(port=port) as emulator:
            started.put((emulator, asyncio.get_running_loop(), ended))
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    emulator, loop, ended = started.get(timeout=10)
    try:
        yield emulator
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(timeout=10)
