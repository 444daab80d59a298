"""A strict AI21 Studio server for tests; the server itself is in `server`."""

from tests.emulators.ai21labs.server import API_KEY, Ai21LabsEmulator

__all__ = ["API_KEY", "Ai21LabsEmulator"]
