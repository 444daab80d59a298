"""`modelplane up --local-model`: a foundation model that answers, at a restart as before."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelplane.adapters.registries.catalogue import read_catalogue
from modelplane.deploy.local.options import LOCAL_MODEL, UpOptions
from tests.deploy.local.deployments import Deployment, running, start

ENDPOINT = f"/api/2.0/serving-endpoints/{LOCAL_MODEL}"
QUERY = f"/serving-endpoints/{LOCAL_MODEL}/invocations"


async def test_answers_and_survives_restarts(tmp_path: Path) -> None:
    an_hour_ago = str(datetime.now(UTC).timestamp() - 3600)
    async with running(tmp_path / "d", "--local-model", "--started-at", an_hour_ago) as deployment:
        curl = await deployment.until_said(QUERY)
        assert curl.strip().startswith("curl ")
        first = await deployment.until_said("first answer")
        assert re.fullmatch(
            rf"{LOCAL_MODEL} gave its first answer 3[67]\d\d\.\d s after the start", first
        )
        await check_completion(deployment)
    async with running(tmp_path / "d", "--local-model") as deployment:
        await check_completion(deployment)
        shown = (await deployment.client.call("GET", ENDPOINT)).json()
        assert shown["endpoint_type"] == "FOUNDATION_MODEL_API"


async def check_completion(deployment: Deployment) -> None:
    question = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    answer = await deployment.client.call("POST", QUERY, question)
    assert answer.ok, answer.body
    completion = answer.json()
    assert completion["choices"][0]["message"]["content"]
    assert completion["usage"]["completion_tokens"] > 0


async def test_one_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    settings = {"MODELPLANE_START_DEADLINE_SECONDS": "0.01"}
    arguments = ("--port", "0", "--local-model")
    deployment = await start(tmp_path / "d", *arguments, settings=settings)
    await deployment.until_said("the local model does not answer: ")
    assert await deployment.process.wait() == 1
    assert "is ready at" not in "".join(deployment.lines)


def test_it_is_the_first_of_the_catalogue() -> None:
    first, *_ = read_catalogue("default")
    assert (first.name, first.task) == (LOCAL_MODEL, "llm/v1/chat")


def test_it_needs_the_launcher() -> None:
    with pytest.raises(ValueError, match="--no-hosting"):
        UpOptions(local_model=True, no_hosting=True)
