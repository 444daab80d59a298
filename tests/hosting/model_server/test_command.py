"""The server of a replica whose model is served by a command of its own (`metadata.entrypoint`)."""

import asyncio
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import GroupSpec

from modelplane.launcher.engines.base import EngineUnfit
from modelplane.launcher.engines.command import Command
from tests.hosting.replica import Replica, serving_with
from tests.launcher.groups import build

PROGRAM = Path(__file__).with_name("command_model.py")
COMMAND = f"exec {shlex.quote(sys.executable)} {shlex.quote(str(PROGRAM))} 8080"


def told_of(folder: Path, entrypoint: object) -> list[str]:
    """Return what a replica's server is told of a model that has this command."""
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(json.dumps({"metadata": {"entrypoint": entrypoint}}))
    engine, spec = Command(build), GroupSpec()
    prepared = asyncio.run(engine.prepare(folder, spec, lambda _: None, lambda _, __: None))
    return [*engine.options(spec), *prepared.told]


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("command")
    model = folder / "files"
    (model / "artifacts").mkdir(parents=True)
    told = told_of(model, COMMAND)
    with serving_with(Path(sys.executable), model, folder, *told) as started:
        yield started


def test_a_body_reaches_the_command_as_it_is(replica: Replica) -> None:
    body = b'{"messages":  [], "anything": 1}'
    answer = replica.ask(body).json
    assert answer["asked"] == body.decode()
    assert (answer["path"], answer["here"]) == ("/invocations", "artifacts")
    # The port in the command is one of its own.
    assert answer["PORT"] != "8080"


def test_events_pass_as_they_are(replica: Replica) -> None:
    body = replica.ask({"prompt": "go", "stream": True}).body
    assert body == b'data: {"part": 1}\n\ndata: {"part": 2}\n\ndata: [DONE]\n\n'


def test_what_fails_in_a_stream_is_told_in_it(replica: Replica) -> None:
    body = replica.ask({"prompt": "break", "stream": True}).body
    assert body.startswith(b'data: {"part": 1}\n\ndata: {"part": 2}\n\ndata: {"error":')
    assert b"worn out" in body


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ({"prompt": "fail"}, "no such words"),
        ({"prompt": "fail", "stream": True}, "no such words"),
        ({"prompt": "whole", "stream": True}, "does not answer in a stream"),
    ],
)
def test_what_the_command_refuses_is_a_400(
    replica: Replica, question: dict[str, object], told: str
) -> None:
    answer = replica.ask(question)
    assert answer.status == 400
    assert told in str(answer.json["message"])


def test_a_command_that_ends_is_not_ready(tmp_path: Path) -> None:
    told = told_of(tmp_path / "files", "echo broken; exit 7")
    with serving_with(Path(sys.executable), tmp_path / "files", tmp_path, *told) as replica:
        assert "ended with status 7 before it was ready" in str(replica.ready["error"])
        assert "broken" in replica.log.read_text()


@pytest.mark.parametrize("entrypoint", [["a", "b"], "", "x" * 9000, "a\0b"])
def test_what_is_no_command_is_refused(tmp_path: Path, entrypoint: object) -> None:
    with pytest.raises(EngineUnfit, match=r"metadata\.entrypoint"):
        told_of(tmp_path / "files", entrypoint)
