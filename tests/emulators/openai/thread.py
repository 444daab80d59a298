"""Runs the emulator in a thread, for tests whose clients block; `server` holds the emulator."""

from contextlib import AbstractContextManager

from tests.emulators.emulator import running_in_thread
from tests.emulators.openai.server import OpenAiEmulator


def run_in_thread(port: int = 0) -> AbstractContextManager[OpenAiEmulator]:
    """Run an emulator in a thread of its own until the block ends.

    Reading its attributes and setting faults is safe from any thread.
    """
    return running_in_thread(lambda: OpenAiEmulator(port=port))
