"""By which names clients may ask for an endpoint, and what the lists of models have."""

import requests

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
