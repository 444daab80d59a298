"""Clients in JavaScript: OpenAI's own, and the AI SDK of Vercel."""

import pytest

from tests.clients.environments import run_node
from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

pytestmark = pytest.mark.timeout(700)


@pytest.fixture(autouse=True)
def served(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider)))
    embedding = {"model": "text-embedding-3-small", "task": "llm/v1/embeddings"}
    rest.create(endpoint("vectors", entity(provider, **embedding)))


def test_openai(system: System) -> None:
    told = run_node("openai.mjs", system)
    text, total = told["whole"]["text"], told["whole"]["total"]
    assert "hello there" in text
    # Without asking, with the last content.
    assert told["stream"] == {"text": text, "usage": [[1, total]]}
    assert told["helper"] == {"text": text, "total": total}
    assert told["vectors"] == 2
    assert told["models"] == ["talk", "vectors"]
    assert told["model"] == "talk"
    kind, status, code, error_type, message = told["unknown"]
    assert (kind, status, code) == ("NotFoundError", 404, "ENDPOINT_NOT_FOUND")
    assert error_type == "not_found_error"
    assert "The given endpoint does not exist" in message
    kind, status, code, _, message = told["malformed"]
    assert (kind, status, code) == ("BadRequestError", 400, "INVALID_PARAMETER_VALUE")
    assert "messages" in message
    kind, status, code, _, message = told["stranger"]
    assert (kind, status, code) == ("AuthenticationError", 401, "UNAUTHENTICATED")
    assert "access token is unknown" in message
    kind, status, *_, message = told["nothing"]
    assert (kind, status) == ("NotFoundError", 404)
    assert "POST /serving-endpoints/chat/completions" in message


def test_the_ai_sdk_of_vercel(system: System) -> None:
    told = run_node("vercel.mjs", system)
    assert "hello there" in told["whole"]["text"]
    assert told["stream"] == told["whole"]
    name, status, retryable, message = told["unknown"]
    assert (name, status, retryable) == ("AI_APICallError", 404, False)
    assert "The given endpoint does not exist" in message
