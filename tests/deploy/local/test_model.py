"""`modelplane up --local-model`: a real completion, and no needless new version at a restart."""

import re
from datetime import UTC, datetime
from pathlib import Path

from modelplane.deploy.local.model import MODEL, model_file
from tests.deploy.local.deployments import Deployment, running

ENDPOINT = f"/api/2.0/serving-endpoints/{MODEL}"


async def test_answers_and_survives_restarts(tmp_path: Path) -> None:
    an_hour_ago = str(datetime.now(UTC).timestamp() - 3600)
    async with running(tmp_path / "d", "--local-model", "--started-at", an_hour_ago) as deployment:
        curl = await deployment.until_said(f"/serving-endpoints/{MODEL}/invocations")
        assert curl.strip().startswith("curl ")
        first = await deployment.until_said("first answer")
        assert re.fullmatch(
            rf"{MODEL} gave its first answer 3[67]\d\d\.\d s after the start", first
        )
        await check_completion(deployment)
        assert await config_version(deployment) == 1
    async with running(tmp_path / "d", "--local-model") as deployment:
        assert await config_version(deployment) == 1
    # A new key is a change that the endpoint must learn.
    (tmp_path / "d" / "local-model-key").unlink()
    async with running(tmp_path / "d", "--local-model") as deployment:
        assert await config_version(deployment) == 2
        await check_completion(deployment)


async def check_completion(deployment: Deployment) -> None:
    question = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
    answer = await deployment.client.call(
        "POST", f"/serving-endpoints/{MODEL}/invocations", question
    )
    assert answer.ok, answer.body
    completion = answer.json()
    assert completion["choices"][0]["message"]["content"]
    assert completion["usage"]["completion_tokens"] > 0


async def config_version(deployment: Deployment) -> int:
    endpoint = (await deployment.client.call("GET", ENDPOINT)).json()
    return int(endpoint["config"]["config_version"])


def test_the_wheel_carries_the_model() -> None:
    assert model_file().read_bytes()[:4] == b"GGUF"
