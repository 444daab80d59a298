"""The judge of names of the documents, with its model, served as a launcher serves it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uv
from modelserving.v1.guardrail_policy_pb2 import GuardrailJudge

from modelplane.data_plane.guardrails.judges import (
    Turn,
    build_question,
    compile_judge,
    parse_ruling,
)
from modelplane.data_plane.guardrails.rule import Rule
from tests.hosting.models.cache import REQUIREMENTS
from tests.hosting.replica import Replica, serving_with

pytestmark = [pytest.mark.long, pytest.mark.timeout(1300)]
_PROGRAM = Path(__file__).parents[3] / "docs" / "examples" / "judge_of_names.py"
JUDGE = compile_judge(Rule("names"), GuardrailJudge(endpoint_name="names", form="custom_guardrail"))


def _needed() -> list[str]:
    """Return what the program's model needs, as the program says."""
    tree = ast.parse(_PROGRAM.read_text())
    [needed] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REQUIREMENTS"
    ]
    return [*REQUIREMENTS["3"], *needed]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("names")
    python = folder / "environment" / "bin" / "python"
    command = uv.find_uv_bin()
    steps: list[list[str | Path]] = [
        [command, "venv", "--no-project", "--python", sys.executable, python.parents[1]],
        [command, "pip", "install", "--python", python, *_needed()],
        [python, _PROGRAM, folder / "model"],
    ]
    for step in steps:
        done = subprocess.run(step, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    with serving_with(python, folder / "model", folder) as replica:
        yield replica


@pytest.mark.parametrize("phase", ["input", "output"])
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Please write to Jane Miller about the invoice.", True),
        ("The meeting takes place in Geneva next week.", True),
        ("Please write to the customer about the invoice.", False),
        ("How do I sort a list?", False),
    ],
)
def test_it_rejects_what_names_somebody(
    judge: Replica,
    text: str,
    names: bool,  # noqa: FBT001 - a parameter of the test
    phase: str,
) -> None:
    role = "user" if phase == "input" else "assistant"
    answer = judge.ask(build_question(JUDGE, [Turn("user", "Hi"), Turn(role, text)], phase))
    assert answer.status == 200, answer.body
    assert parse_ruling(JUDGE, answer.json).flagged is names
