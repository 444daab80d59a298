"""Clients in Python: Databricks' own beside the SDK, LiteLLM, and frameworks on them."""

import pytest

from tests.clients.environments import run_python
from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

pytestmark = pytest.mark.timeout(1300)

TEXT = "gpt-4 heard: hello there"
UNKNOWN = "The given endpoint does not exist"


@pytest.fixture(autouse=True)
def served(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider)))
    embedding = {"model": "text-embedding-3-small", "task": "llm/v1/embeddings"}
    rest.create(endpoint("vectors", entity(provider, **embedding)))


def test_databricks_langchain(system: System) -> None:
    told = run_python("databricks_langchain_client.py", "databricks.txt", system)
    text, total = told["whole"]
    assert text == TEXT
    assert total > 0
    for way in ("stream", "async"):
        streamed, usage = told[way]
        assert streamed == TEXT
        # It tells what a chunk with content says, and once more at the end.
        assert usage == [total, total]
    (call,) = told["tools"]
    assert (call["name"], call["args"]) == ("get_weather", {"city": "get_weather in Bern"})
    assert told["structured"] == "Bern"
    assert told["vectors"] == 2
    kind, message = told["unknown"]
    assert kind == "NotFoundError"
    assert UNKNOWN in message


def test_databricks_openai_and_langchain_openai(system: System) -> None:
    told = run_python("openai_family_client.py", "databricks.txt", system)
    text, total = told["databricks"]
    assert text == TEXT
    assert told["langchain"] == [TEXT, total]
    assert told["langchain stream"] == [TEXT, [total]]
    assert told["vectors"] == 2
    kind, message = told["databricks unknown"]
    assert kind == "NotFoundError"
    assert UNKNOWN in message


def test_litellm(system: System) -> None:
    told = run_python("litellm_client.py", "litellm.txt", system)
    text, total = told["whole"]
    assert text == TEXT
    assert told["stream"] == TEXT
    assert told["stream with usage"] == [TEXT, [total]]
    assert told["vectors"] == 2
    kind, message = told["unknown"]
    assert kind == "NotFoundError"
    assert UNKNOWN in message


def test_frameworks_for_agents_and_typed_answers(system: System) -> None:
    told = run_python("frameworks_client.py", "frameworks.txt", system)
    whole, stream, total, city = told["pydantic-ai"]
    assert (whole, stream, city) == (TEXT, TEXT, "Bern")
    assert total > 0
    whole, stream, *usage = told["openai-agents"]
    assert (whole, stream) == (TEXT, TEXT)
    assert usage[0] == usage[1] > 0
    assert told["instructor"] == "Bern"
    assert told["dspy"] == [[TEXT], [TEXT]]


def test_llama_index(system: System) -> None:
    told = run_python("llama_index_client.py", "llama_index.txt", system)
    assert (told["whole"], told["stream"], told["vectors"]) == (TEXT, TEXT, 2)
    kind, message = told["unknown"]
    assert kind == "NotFoundError"
    assert UNKNOWN in message
