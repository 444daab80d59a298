"""Structured logs and the metrics page, for every process of the deployment.

A log line is one JSON object on standard error. Prompts, answers and credentials are never
fields of one.
"""

import logging
import sys
import threading
import time
from contextlib import nullcontext
from datetime import UTC, datetime

import orjson
from prometheus_client import CollectorRegistry, start_http_server

_FIELDS = "fields"
_FLUSH_SECONDS = 0.2


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class BufferedHandler(logging.Handler):
    """Writes to standard error many lines at a time: a write for each request costs too much.

    Lines wait at most `_FLUSH_SECONDS`; a warning, and the end of the process, write them at once.
    A process that is killed may lose that much of its log, which is why nothing that must not be
    lost is a log line.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []
        threading.Thread(target=self._flush_forever, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        try:
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler: a log line must not break a request
            self.handleError(record)
        if record.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                sys.stderr.write("\n".join(lines) + "\n")
                sys.stderr.flush()

    def _flush_forever(self) -> None:
        while True:
            time.sleep(_FLUSH_SECONDS)
            self.flush()


def configure_logging(level: str) -> None:
    """Send all log records of this process to standard error as JSON lines."""
    handler = BufferedHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def log_fields(**fields: object) -> dict[str, dict[str, object]]:
    """Return the `extra` argument that adds `fields` to a log line."""
    return {_FIELDS: fields}


def serve_metrics(host: str, port: int, registry: CollectorRegistry) -> int:
    """Serve Prometheus text on `http://host:port/metrics` from a thread; return the port."""
    server, _ = start_http_server(port, host, registry)
    return int(server.server_port)
