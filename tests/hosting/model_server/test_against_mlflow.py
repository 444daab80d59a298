"""Our answers beside those of MLflow's own scoring server, case by case, with MLflow 2 and 3."""

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from modelplane.launcher import model_server
from tests.hosting.model_server.cases import CASES, DIFFERENCES, Case
from tests.hosting.models.cache import Saved

ASK = Path(__file__).parents[1] / "models" / "ask.py"
MODEL_SERVER = Path(model_server.__file__).parent


class Answer(NamedTuple):
    status: int
    body: object


class Asked(NamedTuple):
    case: Case
    ours: Answer
    mlflow: Answer


@pytest.fixture(scope="module")
def asked(mlflow_any: Saved, tmp_path_factory: pytest.TempPathFactory) -> list[Asked]:
    done = subprocess.run(
        [mlflow_any.python, "-W", "ignore", ASK, MODEL_SERVER, mlflow_any.folder],
        cwd=tmp_path_factory.mktemp("asked"),  # MLflow writes its own things where it runs
        input=json.dumps([(case.model, case.body) for case in CASES]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers = json.loads(done.stdout)
    return [
        Asked(case, Answer(*answer["ours"]), Answer(*answer["mlflow"]))
        for case, answer in zip(CASES, answers, strict=True)
    ]


def _code(answer: Answer) -> object:
    return answer.body.get("error_code") if isinstance(answer.body, dict) else None


def _alike(one: Answer, other: Answer) -> bool:
    """Whether two answers say the same; the wording of a refusal may differ."""
    if one.status != other.status:
        return False
    if one.status != 200:
        return _code(one) == _code(other)
    return _without_times(one.body) == _without_times(other.body)


def _without_times(body: object) -> str:
    return re.sub(r'"created": \d+', "", json.dumps(body))


def test_every_difference_to_mlflow_is_on_purpose(asked: list[Asked]) -> None:
    wrong = []
    for case, ours, mlflow in asked:
        if ours.status != case.status or _alike(ours, mlflow) == bool(case.difference):
            wrong.append((case.model, case.body[:200], case.difference, ours, mlflow))
    assert not wrong, "\n".join(str(each)[:1000] for each in wrong)


def test_every_difference_is_shown_by_a_case() -> None:
    assert {case.difference for case in CASES} - {None} == DIFFERENCES.keys()


def test_no_answer_tells_of_the_machine(asked: list[Asked], mlflow_any: Saved) -> None:
    places = (
        str(Path.home()),
        str(mlflow_any.folder),
        "site-packages",
        "Traceback",
        str(ASK.parent),
    )
    for case, ours, _ in asked:
        text = json.dumps(ours.body)
        assert not [place for place in places if place in text], (case.model, case.body, text)


def test_no_refusal_makes_a_client_send_the_request_again(asked: list[Asked]) -> None:
    for _, ours, _ in asked:
        assert "Unexpected error" not in json.dumps(ours.body)
        assert len(json.dumps(ours.body)) < 100_000


def test_what_the_answers_are(asked: list[Asked]) -> None:
    """A few of the answers word by word, so that not only MLflow says what is right."""
    said = {(case.model, case.body): ours.body for case, ours, _ in asked}

    def answer_to(model: str, **body: object) -> object:
        return said[model, json.dumps(body)]

    nothing = {"y": None, "z": None, "t": None}
    rows: list[dict[str, object]] = [{"x": 1}, {"x": None}]
    assert answer_to("not_finite", dataframe_records=rows) == {
        "predictions": [{"x": 1.0, **nothing}, {"x": None, **nothing}]
    }
    failed = (
        "Encountered an unexpected error while evaluating the model. Verify that the input is "
        "compatible with the model for inference. Error: ValueError: no such word"
    )
    streamed = answer_to("streaming", prompt="a fail b", stream=True)
    assert isinstance(streamed, list)
    assert [streamed[0], streamed[2]] == ['{"word":"a"}', "[DONE]"]
    assert json.loads(streamed[1]) == {"error": {"message": failed, "code": "BAD_REQUEST"}}
    assert answer_to("answers", inputs={"kind": ["big"]}) == {"predictions": [2**70]}
    message = [{"role": "user", "content": "hello you"}]
    assert answer_to("responses_agent", input="hello you") == answer_to(
        "responses_agent", input=message
    )
