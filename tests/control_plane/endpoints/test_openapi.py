import orjson
import pytest

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.openapi import build_openapi
from modelplane.control_plane.errors import InvalidParameter
from tests.control_plane.configs import openai_entity
from tests.control_plane.conftest import ALICE
from tests.control_plane.endpoints.test_lifecycle import KEY, request, with_model
from tests.control_plane.rollouts import FakeRollout


@pytest.mark.parametrize(
    ("task", "required"),
    [
        ("llm/v1/chat", "messages"),
        ("llm/v1/completions", "prompt"),
        ("llm/v1/embeddings", "input"),
    ],
)
async def test_the_document_describes_the_task(
    endpoints: Endpoints, task: str, required: str
) -> None:
    config = {"served_entities": [openai_entity("gpt", task=task, **KEY)]}
    record = await endpoints.create(ALICE, request(config=config))
    document = orjson.loads(build_openapi(record))
    assert document["openapi"] == "3.1.0"
    assert document["info"] == {"title": "chat", "version": "1"}
    assert document["servers"] == [{"url": "/serving-endpoints/chat"}]
    assert list(document["paths"]) == ["/invocations", "/served-models/gpt/invocations"]
    for path in document["paths"].values():
        content = path["post"]["requestBody"]["content"]
        schema = content["application/json"]["schema"]
        assert schema["required"] == [required]
        assert required in schema["properties"]


async def test_an_endpoint_that_is_not_ready_has_no_document(
    endpoints: Endpoints, rollout: FakeRollout
) -> None:
    rollout.refusal = "no"
    for record in (
        await endpoints.create(ALICE, request("empty")),
        await endpoints.create(ALICE, with_model()),
    ):
        with pytest.raises(InvalidParameter, match="is not ready"):
            build_openapi(record)
