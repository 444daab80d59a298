"""Policies of models that are hosted here: their pseudonyms, and judges that are hosted too."""

import json
from typing import Any

import pytest
from google.protobuf import json_format
from modelserving.v1.guardrail_policy_pb2 import GuardrailPolicy

from modelplane.adapters.shared.guardrail_rules import build_policies
from modelplane.data_plane.guardrails.pseudonyms import Pseudonyms
from tests.data_plane.guardrails.judge_rules import moderate
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.test_guardrails import CHAT, MAIL, chatting
from tests.data_plane.hosting.world import World, group
from tests.data_plane.messages import endpoint, endpoint_config, hosted_by, hosted_entity, snapshot

KEY = b"k" * 32
IDS = {"iris": "a" * 32, "judge": "b" * 32}
CHATS = "llm/v1/chat"


async def serve(world: World, models: dict[str, ModelServer], **policy: Any) -> None:
    """Serve a chat with a policy, and a judge that somebody has written, both hosted."""
    given = json_format.ParseDict({"name": "p", **policy}, GuardrailPolicy())
    guarded = {"policies": build_policies([given]), "pseudonym_key": KEY}
    resources = [
        endpoint(
            name,
            endpoint_config(hosted_entity(name)),
            hosted=[hosted_by(IDS[name], name, task=CHATS if name == "iris" else "")],
            **(guarded if name == "iris" else {}),
        )
        for name in models
    ]
    groups = [group(server, group_id=IDS[name]) for name, server in models.items()]
    await world.apply(snapshot(1, *resources, groups=tuple(groups)))


@pytest.mark.parametrize("streams", [False, True])
async def test_pseudonyms_go_to_the_model_and_come_back(
    world: World,
    streams: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    name = Pseudonyms(KEY).name("EMAIL_ADDRESS", MAIL)
    said = {"choices": [{"message": {"role": "assistant", "content": f"To {name}."}}]}
    server = ModelServer(answer=json.dumps(said).encode())
    if streams:
        server.events = chatting("To ", name[:7], name[7:], ".")
    async with model_servers(server):
        await serve(world, {"iris": server}, pii={}, action="pseudonym")
        answer = await world.ask(CHAT | {"stream": streams})
    assert server.requests[0].json["messages"][0]["content"] == f"Ask {name}"
    if streams:
        parts = [one["choices"][0]["delta"].get("content", "") for one in answer.events[:-1]]
        assert "".join(parts) == f"To {MAIL}."
    else:
        assert answer.json["choices"][0]["message"]["content"] == f"To {MAIL}."


@pytest.mark.parametrize("flagged", [(), ("violence",)])
async def test_a_hosted_judge_is_asked_as_openais_moderation(
    world: World, flagged: tuple[str, ...]
) -> None:
    server = ModelServer(answer=json.dumps({"choices": [{"message": {"content": "So"}}]}).encode())
    judge = ModelServer(answer=json.dumps(moderate({"input": "x"}, *flagged)).encode())
    form = {"endpoint_name": "judge", "form": "moderation"}
    async with model_servers(server, judge):
        await serve(world, {"iris": server, "judge": judge}, judge=form, phases=["input"])
        answer = await world.ask(CHAT)
    assert moderate(judge.requests[0].json)
    assert answer.status == (400 if flagged else 200)


@pytest.mark.parametrize("phase", ["input", "output"])
@pytest.mark.parametrize("decision", ["proceed", "reject"])
async def test_a_hosted_judge_is_asked_as_a_custom_guardrail(
    world: World, phase: str, decision: str
) -> None:
    server = ModelServer(events=chatting("So ", "it is"))
    judge = ModelServer(answer=json.dumps({"predictions": [{"decision": decision}]}).encode())
    form = {"endpoint_name": "judge", "form": "custom_guardrail"}
    async with model_servers(server, judge):
        await serve(world, {"iris": server, "judge": judge}, judge=form, phases=[phase])
        answer = await world.ask(CHAT | {"stream": True})
    asked = judge.requests[0].json
    asked = asked if phase == "input" else asked["inputs"]
    assert asked["mode"] == {"phase": phase, "stream_mode": "non_streaming"}
    assert ("choices" if phase == "output" else "messages") in asked
    if decision == "reject":
        assert answer.status == 400
        assert f"{phase}_guardrail_triggered" in answer.message
    else:
        parts = [one["choices"][0]["delta"].get("content", "") for one in answer.events[:-1]]
        assert "".join(parts) == "So it is"
