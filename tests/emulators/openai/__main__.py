"""Runs the emulator as a process: `python -m tests.emulators.openai --port 8090`."""

import argparse
import asyncio

from tests.emulators.openai.server import serve

parser = argparse.ArgumentParser(description="A strict OpenAI server for tests.")
parser.add_argument("--port", type=int, default=0)
asyncio.run(serve(parser.parse_args().port))
