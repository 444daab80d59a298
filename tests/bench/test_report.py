"""What measured values come to."""

import json
import math
import subprocess
from pathlib import Path

import pytest

from bench import report
from bench.report import Table, percentile, save


def test_percentiles() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert percentile(ordered, 0.5) == 51
    assert percentile(ordered, 0.99) == 100
    assert percentile([3.0], 0.99) == 3
    assert math.isnan(percentile([], 0.5))


def test_results_say_of_which_commit_and_machine_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_RESULTS", tmp_path / "results")
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b")
    for words in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run((*git, *words), check=True)
    saved = json.loads(save([Table("t", ("what", "n"), [("one", 1.0)])]).read_text())
    head = subprocess.run((*git, "rev-parse", "HEAD"), check=True, capture_output=True, text=True)
    assert head.stdout.startswith(saved["commit"])
    assert len(saved["commit"]) == 12
    assert saved["sections"] == {"t": [{"what": "one", "n": 1.0}]}
    assert saved["cpus"] >= 1
