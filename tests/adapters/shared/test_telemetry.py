"""Log lines: JSON, complete, and written many at a time."""

import errno
import io
import json
import logging
import subprocess
import sys

import pytest

from modelplane.adapters.shared.telemetry import (
    BufferedHandler,
    JsonFormatter,
    LineBuffer,
    log_fields,
)


def test_a_line_is_json_with_its_fields() -> None:
    record = logging.makeLogRecord(
        {"name": "n", "levelname": "INFO", "msg": "m", **log_fields(status=200)}
    )
    line = json.loads(JsonFormatter().format(record))
    assert {"level": "info", "logger": "n", "message": "m", "status": 200}.items() <= line.items()


def test_a_warning_takes_what_waits_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    handler = BufferedHandler(LineBuffer())
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.handle(logging.makeLogRecord({"msg": "first", "levelno": logging.INFO}))
    handler.handle(logging.makeLogRecord({"msg": "second", "levelno": logging.WARNING}))
    assert capsys.readouterr().err == "first\nsecond\n"


class FullDisk(io.StringIO):
    """Takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, f"No space left for {len(text)} characters")


def test_a_full_disk_costs_lines_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = BufferedHandler(LineBuffer())
    record = logging.LogRecord("x", logging.WARNING, "f.py", 1, "lost", (), None)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", FullDisk())
        handler.emit(record)
    handler.emit(logging.LogRecord("x", logging.WARNING, "f.py", 1, "kept", (), None))
    assert capsys.readouterr().err == "kept\n"


def test_the_line_of_a_request_is_what_a_logger_writes() -> None:
    program = (
        "import logging;"
        "from modelplane.adapters.shared.telemetry import RequestLog, log_fields;"
        "from modelplane.adapters.shared.telemetry import configure_logging;"
        "configure_logging('info'); fields = {'status': 200, 'id': 'é'};"
        "RequestLog('a.b').write('m', fields); logging.getLogger('a.b').info('m',"
        " extra=log_fields(**fields)); configure_logging('warning');"
        "assert not RequestLog('a.b').wanted"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    first, second = map(json.loads, ended.stderr.splitlines())
    assert first.pop("time") <= second.pop("time")
    assert list(first.items()) == list(second.items())


def test_the_end_of_the_process_writes_what_waits() -> None:
    program = (
        "import logging; from modelplane.adapters.shared.telemetry import configure_logging;"
        "configure_logging('info'); logging.info('last')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(ended.stderr)["message"] == "last"
