"""A data directory of before the first release: refused, carried over, and served as before."""

import base64
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.control_plane.before_release import MASTER_KEY, facts_of, restore_sqlite
from tests.e2e.rest import Rest
from tests.e2e.system import run_system
from tests.emulators.openai import OpenAiEmulator
from tests.requirements.documents import assert_contains

_QUESTION = {"messages": [{"role": "user", "content": "Say hello."}]}


def modelplane(*arguments: str) -> subprocess.CompletedProcess[str]:
    program: Sequence[str] = [str(Path(sys.executable).parent / "modelplane"), *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False, env={})


def test_what_an_older_commit_has_stored_is_served(
    tmp_path: Path, provider: OpenAiEmulator
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    restore_sqlite(data_dir / "modelplane.db")
    settings = {
        "MODELPLANE_MASTER_KEY": base64.b64encode(MASTER_KEY).decode(),
        "MODELPLANE_UPSTREAM_ORIGINS": f"https://api.openai.com={provider.origin}",
        # What was used then is not forgotten while this test is in use.
        "MODELPLANE_USAGE_RETENTION_DAYS": "36500",
    }
    with (
        pytest.raises(AssertionError, match=r"has schema 0010.*`modelplane carry-over`"),
        run_system(data_dir, settings=settings),
    ):
        pass

    carried = modelplane("carry-over", "--data-dir", str(data_dir))
    assert carried.returncode == 0, carried.stderr
    assert carried.stdout.splitlines()[-1].startswith("done: 3 endpoints")

    facts = facts_of("sqlite:")
    with run_system(data_dir, settings=settings, workers=1) as system, Rest(system) as rest:
        for path, answer in facts.answers.items():
            # What was not known then is told, too.
            assert_contains(rest.call("GET", path), answer, path)
        with Rest(system, facts.bob_token) as bob:
            for name in ("one", "two"):
                path = f"/serving-endpoints/chat/served-models/{name}/invocations"
                assert bob.call("POST", path, _QUESTION)["choices"]
