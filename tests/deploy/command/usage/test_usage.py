"""The command `modelplane usage`, but for the deployment that it asks."""

from pathlib import Path

import pytest

from modelplane.deploy.command.usage.__main__ import main
from modelplane.deploy.command.usage.report import format_table


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODELPLANE_TOKEN", "MODELPLANE_ADMIN_TOKEN", "MODELPLANE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_a_missing_token_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data-dir", str(tmp_path), "--url", "http://127.0.0.1:1"]) == 4
    assert "set MODELPLANE_TOKEN" in capsys.readouterr().err


def test_a_deployment_that_is_away_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "admin-token").write_text("dapi-x\n")
    assert main(["--data-dir", str(tmp_path), "--url", "http://127.0.0.1:1"]) == 7
    error = capsys.readouterr().err
    assert error.startswith("modelplane usage: http://127.0.0.1:1 (--url) does not answer")
    assert error.count("\n") == 1


def test_a_time_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--since", "yesterday"])
    assert "yesterday is no ISO 8601 time" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given",
    [
        ["--group-by", "day", "--limit", "5"],
        ["export", "--limit", "5"],
        ["export", "--group-by", "day"],
        ["export", "-o", "csv"],
        ["--parquet", "usage.parquet"],
    ],
)
def test_what_would_have_no_effect_is_refused(
    given: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "admin-token").write_text("dapi-x\n")
    assert main([*given, "--data-dir", str(tmp_path), "--url", "http://127.0.0.1:1"]) == 2
    assert "has no effect with" in capsys.readouterr().err


def test_tables_are_aligned() -> None:
    rows = [
        {"day": 0, "endpoint": "a", "requests": 5, "average_latency_ms": 1.25},
        {"day": 86_400_000, "endpoint": "long-name", "requests": 1000, "average_latency_ms": None},
    ]
    assert format_table(rows, None).splitlines() == [
        "DAY         ENDPOINT   REQUESTS   MS",
        "1970-01-01  a                 5  1.2",
        "1970-01-02  long-name      1000    -",
    ]
    assert format_table([], None) == "no usage\n"
