"""A strict Cohere server for tests; the server itself is in `server`."""

from tests.emulators.cohere.server import API_KEY, CohereEmulator

__all__ = ["API_KEY", "CohereEmulator"]
