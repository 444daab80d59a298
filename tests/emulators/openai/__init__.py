"""A strict OpenAI (and Azure OpenAI) server for tests; the server itself is in `server`.

Use it in a test's own loop (`async with OpenAiEmulator() as emulator`), beside blocking clients
(`with run_in_thread() as emulator`), or as a process (`python -m tests.emulators.openai --port`).
"""

from tests.emulators.emulator import Recorded
from tests.emulators.faults import ANY_MODEL, Fault
from tests.emulators.openai.server import API_KEY, OpenAiEmulator
from tests.emulators.openai.thread import run_in_thread

__all__ = ["ANY_MODEL", "API_KEY", "Fault", "OpenAiEmulator", "Recorded", "run_in_thread"]
