"""A strict Bedrock server for tests; the server itself is in `server`."""

from tests.emulators.amazon_bedrock.server import REGION, BedrockEmulator
from tests.emulators.amazon_bedrock.signature import KEY, TEMPORARY_KEY, AccessKey

__all__ = ["KEY", "REGION", "TEMPORARY_KEY", "AccessKey", "BedrockEmulator"]
