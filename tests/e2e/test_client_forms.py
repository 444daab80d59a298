"""What clients of chat and embeddings put on the wire, and what each reads of the answer.

Each request has the form that the client sends, recorded from the client itself and its release,
with long tables cut short. `tests/clients` runs the clients, which takes minutes.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import requests

from tests.e2e.rest import Json, Rest, endpoint, entity
from tests.emulators.openai import OpenAiEmulator

CHAT_PATH = "/serving-endpoints/chat/completions"
VECTORS_PATH = "/serving-endpoints/embeddings"
TEXT = "gpt-4 heard: hello there"
HELLO = {"role": "user", "content": "hello there"}
BERN = {"role": "user", "content": "Bern"}
CITY = {"properties": {"city": {"type": "string"}}, "required": ["city"], "type": "object"}
VECTORS = {"input": ["a", "b"], "model": "vectors"}
# A last chunk of its own for the usage.
ASKED = {"stream_options": {"include_usage": True}}


def accepting(agent: str, encodings: str, accept: str = "application/json") -> dict[str, str]:
    return {"User-Agent": agent, "Accept-Encoding": encodings, "Accept": accept}


DATABRICKS = accepting("DatabricksOpenAI/Python 2.54.0", "gzip, deflate, zstd")
MLFLOW = {
    **accepting("unknown/0.0.0 databricks-sdk-py/0.162.0 auth/pat", "gzip, deflate", "*/*"),
    "X-Databricks-Endpoints-API-Client": "Databricks Deployment Client",
}
LITELLM = accepting("litellm/1.110.2", "gzip, deflate", "*/*")
OPENAI = accepting("OpenAI/Python 2.54.0", "gzip, deflate, zstd")
NODE = {
    **accepting("OpenAI/JS 6.49.0", "gzip, deflate"),
    "accept-language": "*",
    "sec-fetch-mode": "cors",
}
VERCEL = {**NODE, **accepting("ai/6.0.326 ai-sdk/provider-utils/4.0.65", "gzip, deflate", "*/*")}
PYDANTIC = accepting("pydantic-ai/2.38.0", "gzip, deflate")
AGENTS = accepting("Agents/Python 0.24.0", "gzip, deflate")
DSPY = accepting("lm15/stdlib", "identity", "*/*")
INSTRUCTOR = accepting("OpenAI/Python 3.3.0", "gzip, deflate")
LLAMA_INDEX = accepting("OpenAI/Python 2.54.0", "gzip, deflate")


@dataclass(frozen=True)
class Form:
    """A request of a client."""

    client: str
    headers: Mapping[str, str]
    body: Json
    path: str = CHAT_PATH


def chat(client: str, headers: Mapping[str, str], message: Json = HELLO, **options: object) -> Form:
    return Form(client, headers, {"messages": [message], "model": "talk", **options})


def tool(name: str, **more: object) -> Json:
    """Return a function whose argument is a city."""
    function = {"name": name, "description": "Tells of a city.", "parameters": CITY, **more}
    return {"type": "function", "function": function}


def forced(name: str) -> Json:
    return {
        "tools": [tool(name)],
        "tool_choice": {"type": "function", "function": {"name": name}},
    }


WHOLE = [
    chat("databricks-langchain", DATABRICKS, stream=False),
    chat("databricks-openai", DATABRICKS),
    chat("litellm", LITELLM),
    chat("langchain-openai", OPENAI, stream=False),
    chat("openai-node", NODE),
    chat("vercel", VERCEL),
    chat("pydantic-ai", PYDANTIC, stream=False),
    chat("openai-agents", AGENTS),
    chat("dspy", DSPY),
    chat("llama-index", LLAMA_INDEX, stream=False, temperature=0.1),
]
STREAMS = [
    chat("databricks-langchain", DATABRICKS, stream=True),
    chat("litellm", LITELLM, stream=True),
    chat("langchain-openai", OPENAI, stream=True),
    chat("openai-node", NODE, stream=True),
    chat("vercel", VERCEL, stream=True),
    chat("pydantic-ai", PYDANTIC, stream=True, **ASKED),
    chat("openai-agents", AGENTS, stream=True),
    chat("llama-index", LLAMA_INDEX, stream=True, temperature=0.1),
]
TOOLS = [
    chat(
        "databricks-langchain",
        DATABRICKS,
        {"role": "user", "content": "get_weather in Bern"},
        stream=False,
        tools=[tool("get_weather")],
    ),
    chat("databricks-langchain structured", DATABRICKS, BERN, stream=False, **forced("Place")),
    chat(
        "pydantic-ai",
        PYDANTIC,
        BERN,
        stream=False,
        tool_choice="required",
        tools=[
            tool("final_result", parameters={**CITY, "additionalProperties": False}, strict=True)
        ],
    ),
    chat("instructor", INSTRUCTOR, BERN, **forced("Place")),
]
EMBEDDINGS = [
    Form(
        "databricks-langchain",
        MLFLOW,
        {"input": ["a", "b"]},
        "/serving-endpoints/vectors/invocations",
    ),
    Form("litellm", LITELLM, VECTORS, VECTORS_PATH),
    Form("langchain-openai", OPENAI, {**VECTORS, "encoding_format": "base64"}, VECTORS_PATH),
    Form("openai-node", NODE, {**VECTORS, "encoding_format": "base64"}, VECTORS_PATH),
    Form("llama-index", LLAMA_INDEX, {**VECTORS, "encoding_format": "base64"}, VECTORS_PATH),
]


def forms(table: list[Form]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("form", table, ids=[form.client for form in table])


@pytest.fixture(autouse=True)
def served(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("talk", entity(provider)))
    embedding = {"model": "text-embedding-3-small", "task": "llm/v1/embeddings"}
    rest.create(endpoint("vectors", entity(provider, **embedding)))


def send(rest: Rest, form: Form, **changed: object) -> requests.Response:
    return rest.send("POST", form.path, {**form.body, **changed}, headers=dict(form.headers))


def answered(rest: Rest, form: Form) -> Json:
    """Return the choice of an answer, whose other parts all clients check."""
    answer = send(rest, form)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json()
    assert body["object"] == "chat.completion"
    assert isinstance(body["id"], str)
    assert isinstance(body["created"], int)
    assert body["usage"]["total_tokens"] > 0
    (choice,) = body["choices"]
    assert choice["message"]["role"] == "assistant"
    assert isinstance(choice, dict)
    return choice


@forms(WHOLE)
def test_whole_answers(rest: Rest, form: Form) -> None:
    choice = answered(rest, form)
    assert (choice["message"]["content"], choice["finish_reason"]) == (TEXT, "stop")


@forms(STREAMS)
def test_streams_and_their_usage(rest: Rest, form: Form) -> None:
    answer = send(rest, form)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    *events, done = [line for line in answer.content.split(b"\n") if line]
    assert done == b"data: [DONE]"
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == TEXT
    assert [*filter(None, (choice.get("finish_reason") for choice in choices))] == ["stop"]
    usage = [chunk for chunk in chunks if chunk.get("usage")]
    assert usage
    # Clients that do not ask look for it beside choices; some take no chunk without any.
    assert any(not chunk["choices"] for chunk in chunks) == ("stream_options" in form.body)
    assert ("stream_options" in form.body) or all(chunk["choices"] for chunk in usage)


@forms(TOOLS)
def test_calls_of_tools(rest: Rest, form: Form) -> None:
    (call,) = answered(rest, form)["message"]["tool_calls"]
    assert call["type"] == "function"
    assert call["id"]
    assert call["function"]["name"] == form.body["tools"][0]["function"]["name"]
    assert "Bern" in json.loads(call["function"]["arguments"])["city"]


@forms(EMBEDDINGS)
def test_embeddings(rest: Rest, form: Form) -> None:
    answer = send(rest, form)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert [item["index"] for item in data] == [0, 1]
    for item in data:
        if "encoding_format" in form.body:
            # 32-bit numbers, which these clients decode.
            assert len(base64.b64decode(item["embedding"], validate=True)) % 4 == 0
        else:
            assert all(isinstance(number, float) for number in item["embedding"])


@forms(WHOLE)
def test_refusals_that_clients_can_show(rest: Rest, form: Form) -> None:
    answer = send(rest, form, model="nowhere")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("not_found_error", "ENDPOINT_NOT_FOUND")
    assert "The given endpoint does not exist" in error["message"]
