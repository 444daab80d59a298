"""Structured logs and the metrics page, for every process of the deployment.

A log line is one JSON object on standard error. Prompts, answers and credentials are never
fields of one.
"""

import logging
import sys
from datetime import UTC, datetime

import orjson
from prometheus_client import CollectorRegistry, start_http_server

_FIELDS = "fields"


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


def configure_logging(level: str) -> None:
    """Send all log records of this process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def log_fields(**fields: object) -> dict[str, dict[str, object]]:
    """Return the `extra` argument that adds `fields` to a log line."""
    return {_FIELDS: fields}


def serve_metrics(host: str, port: int, registry: CollectorRegistry) -> int:
    """Serve Prometheus text on `http://host:port/metrics` from a thread; return the port."""
    server, _ = start_http_server(port, host, registry)
    return int(server.server_port)
