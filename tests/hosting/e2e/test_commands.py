"""Commands about hosted models: declared in a file, their logs, stopped and started."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.commands import Shell
from tests.e2e.system import System
from tests.hosting.e2e.deployment import hosted
from tests.hosting.e2e.processes import wait_for


@pytest.fixture(name="shell")
def _shell(
    host: System,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Shell:
    shell = Shell(monkeypatch, capsys, tmp_path)
    shell.set(MODELPLANE_URL=host.url, MODELPLANE_TOKEN=host.token)
    return shell


def test_a_hosted_model_by_commands(shell: Shell) -> None:
    file = shell.directory / "iris.json"
    file.write_text(
        json.dumps(
            {"name": "iris", "config": {"served_entities": [hosted("prod", "main.ml.iris")]}}
        )
    )
    out, told = shell.both("apply", "-f", str(file))
    assert out == "created endpoint iris\n"
    assert told == "" or told.startswith("iris: prod is creating")
    assert shell.run("diff", "-f", str(file)) == "1 as declared\n"
    exported = shell.directory / "exported.yaml"
    exported.write_text(shell.run("export", "endpoints"))
    assert shell.run("diff", "-f", str(exported)) == "1 as declared\n"
    assert "main.ml.iris/1" in shell.run("endpoints", "list")
    whole = '{"dataframe_records": [{"a": 1, "b": 2}]}'
    assert "--json" in shell.error("endpoints", "query", "iris", "Hello", status=2)
    assert (
        "error_code" not in shell.both("endpoints", "query", "iris", "--json", whole, status=3)[1]
    )
    # What a replica has said is told every few seconds.
    wait_for(lambda: bool(shell.run("endpoints", "logs", "iris")))
    wait_for(
        lambda: bool(
            shell.run(*["endpoints", "logs", "iris", "--build", "--served-entity", "prod"])
        )
    )
    assert shell.run("endpoints", "stop", "iris") == "stopped iris\n"
    assert "state    stopped\n" in shell.run("endpoints", "get", "iris")
    assert shell.run("endpoints", "start", "iris") == "started iris\n"
    assert re.search("^iris +ready ", shell.run("endpoints", "list"), re.MULTILINE)
