"""What a shell is told when it asks how a line goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelplane.deploy.command.cli import COMMANDS, main

PROGRAM = str(Path(sys.executable).parent / "modelplane")


def completed(line: str, tmp_path: Path) -> list[str]:
    """Ask as bash does, through the shell code of argcomplete."""
    answer = tmp_path / "answer"
    variables = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
        "PATH": os.defpath,
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        [PROGRAM], env=variables, cwd=tmp_path, capture_output=True, check=False, timeout=240
    )
    assert done.stdout == b"", done.stderr
    return answer.read_text().split("\n") if answer.exists() else []


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("modelplane end", {"endpoints "}),
        ("modelplane endpoints up", {"update-config "}),
        ("modelplane endpoints create --j", {"--json "}),
        ("modelplane secrets put-acl a b W", {"WRITE "}),
        ("modelplane doctor --p", {"--port", "--profile"}),
        ("modelplane up --wor", {"--workers "}),
        ("modelplane completion f", {"fish "}),
        # No deployment is here, which is nothing to tell in the middle of a line.
        ("modelplane endpoints get ", {""}),
        # It is not started to be asked.
        ("modelplane local-model --", set()),
    ],
)
def test_words_are_completed(line: str, some: set[str], tmp_path: Path) -> None:
    assert some <= set(completed(line, tmp_path)) if some else completed(line, tmp_path) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_for_a_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "modelplane" in capsys.readouterr().out


def test_bash_reads_its_code() -> None:
    code = subprocess.run([PROGRAM, "completion", "bash"], capture_output=True, check=True)
    subprocess.run(["bash", "-n"], input=code.stdout, check=True)


def test_commands_are_imported_only_when_they_are_meant() -> None:
    """A worker's start does not pay for the commands that use a deployment."""
    code = (
        "import sys; from modelplane.deploy.command import cli, up; "
        "from modelplane.data_plane import __main__; "
        "print([one for one in ('argcomplete', 'yaml', 'requests') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"
    assert len(COMMANDS) > 20
