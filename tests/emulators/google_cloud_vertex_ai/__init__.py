"""A strict Vertex AI server for tests; the server itself is in `server`.

Gemini, Claude, PaLM and embedding models, and the endpoint that exchanges a service account's
signed assertion for an access token.
"""

from tests.emulators.google_cloud_vertex_ai.keys import KEY_FILE, PROJECT
from tests.emulators.google_cloud_vertex_ai.server import VertexEmulator

__all__ = ["KEY_FILE", "PROJECT", "VertexEmulator"]
