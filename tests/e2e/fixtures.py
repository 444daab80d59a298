"""One running system and one emulated provider for all tests; `tests/conftest.py` loads this.

A test that asks for `system` finds it without endpoints and the provider without faults.
"""

from collections.abc import Iterator

import pytest
import requests

from tests.e2e.rest import Rest
from tests.e2e.system import System, run_system
from tests.emulators.amazon_bedrock import AccessKey, BedrockEmulator
from tests.emulators.amazon_bedrock.configs import origins as bedrock_origins
from tests.emulators.anthropic import AnthropicEmulator
from tests.emulators.emulator import running_in_thread
from tests.emulators.openai import OpenAiEmulator, run_in_thread

# The scopes and keys that the product's documents use.
SECRETS = [
    ("my_scope", "my_openai_api_key"),
    ("scope", "key"),
    ("my_openai_secret_scope", "openai_api_key"),
    ("my_anthropic_secret_scope", "anthropic_api_key"),
    ("my_amazon_bedrock_secret_scope", "aws_access_key_id"),
    ("my_amazon_bedrock_secret_scope", "aws_secret_access_key"),
]


@pytest.fixture(scope="session")
def provider() -> Iterator[OpenAiEmulator]:
    """Give an emulated OpenAI."""
    with run_in_thread() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def anthropic_provider(provider: OpenAiEmulator) -> Iterator[AnthropicEmulator]:
    """Give an emulated Anthropic, which takes the same key as the emulated OpenAI."""
    with running_in_thread(lambda: AnthropicEmulator(provider.api_key)) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def bedrock_provider(provider: OpenAiEmulator) -> Iterator[BedrockEmulator]:
    """Give an emulated Bedrock, whose key pair is the emulated OpenAI's key twice."""
    with running_in_thread(BedrockEmulator) as emulator:
        emulator.keys[provider.api_key] = AccessKey(provider.api_key, provider.api_key)
        yield emulator


@pytest.fixture(scope="session")
def running_system(
    tmp_path_factory: pytest.TempPathFactory,
    provider: OpenAiEmulator,
    anthropic_provider: AnthropicEmulator,
    bedrock_provider: BedrockEmulator,
) -> Iterator[System]:
    """Give the system with two workers, and the provider's key under every documented secret."""
    # Providers whose configuration names no address are found where the emulators are.
    origins = {
        "https://api.anthropic.com": anthropic_provider.origin,
        **bedrock_origins(bedrock_provider.origin),
    }
    pairs = ",".join(f"{origin}={stand_in}" for origin, stand_in in origins.items())
    settings = {"MODELPLANE_UPSTREAM_ORIGINS": pairs}
    data_dir = tmp_path_factory.mktemp("modelplane") / "data"
    with run_system(data_dir, settings=settings) as system:
        with Rest(system) as rest:
            for scope in dict(SECRETS):
                rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": scope})
            for scope, key in SECRETS:
                secret = {"scope": scope, "key": key, "string_value": provider.api_key}
                rest.call("POST", "/api/2.0/secrets/put", secret)
        yield system


@pytest.fixture
def system(running_system: System, provider: OpenAiEmulator) -> Iterator[System]:
    """Give the system; what the test made in it and told the provider goes away afterwards."""
    provider.requests.clear()
    yield running_system
    provider.faults.clear()
    with Rest(running_system) as rest:
        for endpoint in rest.call("GET", "/api/2.0/serving-endpoints")["endpoints"]:
            rest.call("DELETE", f"/api/2.0/serving-endpoints/{endpoint['name']}")


@pytest.fixture
def rest(system: System) -> Iterator[Rest]:
    """Give a plain REST client."""
    with Rest(system) as client:
        yield client


@pytest.fixture
def anonymous() -> Iterator[requests.Session]:
    """Give an HTTP client without a token."""
    with requests.Session() as session:
        yield session
