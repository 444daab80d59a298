"""By which names clients may ask for an endpoint, and what the lists of models have."""

import anthropic
import pytest
import requests
from anthropic import Anthropic
from google import genai
from google.genai.types import HttpOptions
from openai import OpenAI

from tests.e2e.native.speakers import SPEAKERS
from tests.e2e.rest import ENDPOINTS, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator


def tag(rest: Rest, name: str, aliases: str) -> requests.Response:
    body = {"add_tags": [{"key": "aliases", "value": aliases}]}
    return rest.send("PATCH", f"{ENDPOINTS}/{name}/tags", body)


def test_an_alias_is_a_name_for_every_client(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    for name in ("behind-alias", "beside-alias"):
        rest.create(endpoint(name, entity(provider)))
    assert tag(rest, "behind-alias", "claude-haiku-4-5, team/fast").status_code == 200
    for speaker in SPEAKERS:
        for name in ("claude-haiku-4-5-20251001", "claude-haiku-4-5[1m]"):
            answer = speaker.post(system, speaker.body(name, "hello there"), name)
            assert answer.status_code == 200, answer.text
    chat = {"model": "team/fast", "messages": [{"role": "user", "content": "hello"}]}
    assert rest.send("POST", "/serving-endpoints/chat/completions", chat).status_code == 200
    taken = tag(rest, "beside-alias", "claude-haiku-4-5")
    assert (taken.status_code, taken.json()["error_code"]) == (409, "RESOURCE_ALREADY_EXISTS")
    assert tag(rest, "beside-alias", "no good!").status_code == 400
    assert tag(rest, "behind-alias", "team/fast").status_code == 200
    for speaker in SPEAKERS:
        body = speaker.body("claude-haiku-4-5", "hello there")
        assert speaker.post(system, body, "claude-haiku-4-5").status_code == 404
        near = speaker.post(system, speaker.body("behind-alas", "a"), "behind-alas")
        assert "Did you mean behind-alias" in speaker.error_text(near.json())


def test_lists_of_models_have_aliases_and_pages(
    system: System, rest: Rest, provider: OpenAiEmulator
) -> None:
    base = f"{system.url}/ai-gateway"
    for name in ("listed-a", "listed-b"):
        rest.create(endpoint(name, entity(provider)))
    vectors = entity(provider, "vectors", "text-embedding-3-small", "llm/v1/embeddings")
    rest.create(endpoint("listed-vectors", vectors))
    assert tag(rest, "listed-b", "claude-listed").status_code == 200
    with Anthropic(api_key=system.token, base_url=f"{base}/anthropic") as claude:
        listed = [model.id for model in claude.models.list(limit=1)]
        assert {"listed-a", "listed-b", "claude-listed"} <= set(listed)
        assert listed == sorted(listed)
        assert "listed-vectors" not in listed
        page = claude.models.list(before_id="listed-b", limit=1)
        assert ([model.id for model in page.data], page.has_more) == (["listed-a"], True)
        assert claude.models.retrieve("claude-listed").id == "claude-listed"
        with pytest.raises(anthropic.NotFoundError):
            claude.models.retrieve("nobody")
        for limit in (0, 1001):
            with pytest.raises(anthropic.BadRequestError, match="limit"):
                claude.models.list(limit=limit)
    options = HttpOptions(base_url=f"{base}/gemini")
    with genai.Client(api_key=system.token, http_options=options) as google:
        named = {
            model.name: model.supported_actions
            for model in google.models.list(config={"page_size": 2})
        }
        assert named["models/listed-vectors"] == ["embedContent", "batchEmbedContents"]
        assert "generateContent" in (named["models/claude-listed"] or ())
        assert google.models.get(model="listed-a").name == "models/listed-a"
    with OpenAI(api_key=system.token, base_url=f"{base}/openai/v1") as openai:
        assert {"listed-vectors", "claude-listed"} <= {model.id for model in openai.models.list()}
        assert openai.models.retrieve("claude-listed").object == "model"
