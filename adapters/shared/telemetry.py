"""Structured logs and the metrics page, for every process of the deployment.

A log line is one JSON object on standard error. Prompts, answers and credentials are never
fields of one.
"""

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from wsgiref.types import StartResponse

import orjson
from prometheus_client import CollectorRegistry, start_http_server

_FIELDS = "fields"
_FLUSH_SECONDS = 0.2
_MAX_REASON = 300


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        fields = getattr(record, _FIELDS, {})
        if record.exc_info:
            fields = {**fields, "exception": self.formatException(record.exc_info)}
        message = record.getMessage()
        return _encode(record.created, record.levelname.lower(), record.name, message, fields)


class LineBuffer:
    """Writes to standard error many lines at a time: a write for each request costs too much.

    Lines wait at most `_FLUSH_SECONDS`. A process that is killed may lose that much of its log,
    which is why nothing that must not be lost is a log line.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self.append = self._lines.append
        threading.Thread(target=self._flush_forever, name="log", daemon=True).start()

    def flush(self) -> None:
        """Write what waits; what a full disk does not take is lost, and nothing else."""
        with self._lock, contextlib.suppress(OSError):
            # Other threads append meanwhile, so exactly what is taken is removed.
            lines = self._lines[:]
            del self._lines[: len(lines)]
            if lines:
                sys.stderr.write("\n".join(lines) + "\n")
                sys.stderr.flush()

    def _flush_forever(self) -> None:
        while True:
            time.sleep(_FLUSH_SECONDS)
            self.flush()


class BufferedHandler(logging.Handler):
    """Hands lines to a buffer; a warning, and the end of the process, write them at once."""

    def __init__(self, buffer: LineBuffer) -> None:
        super().__init__()
        self._buffer = buffer

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        try:
            self._buffer.append(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler: a log line must not break a request
            self.handleError(record)
        if record.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self._buffer.flush()


class RequestLog:
    """Logs one line for each request, as `Logger.info` would, at a tenth of what that costs."""

    def __init__(self, name: str) -> None:
        """Log as the logger `name`."""
        self._name = name
        self._logger = logging.getLogger(name)

    @property
    def wanted(self) -> bool:
        """Whether a line would be written."""
        return self._logger.isEnabledFor(logging.INFO)

    def write(self, message: str, fields: dict[str, object]) -> None:
        """Log a line with fields."""
        if _buffer is None:
            self._logger.info(message, extra=log_fields(**fields))
        else:
            now = time.time()  # noqa: TID251 - a log has the clock that `logging` has
            _buffer.append(_encode(now, "info", self._name, message, fields))


@lru_cache(maxsize=2)
def _date_and_time(second: int) -> str:
    """Return the beginning of the timestamps of a second."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


# What `configure_logging` has set up, once for the process.
_buffer: LineBuffer | None = None


def _encode(
    seconds: float, level: str, logger: str, message: str, fields: dict[str, object]
) -> str:
    second = int(seconds)
    time_text = f"{_date_and_time(second)}.{int((seconds - second) * 1000):03d}+00:00"
    # The bytes themselves would keep some kilobytes of the room in which they were made.
    line = orjson.dumps(fields, default=str).decode()
    separator = "," if fields else ""
    return f'{{"time":"{time_text}",{_encode_source(level, logger, message)}{separator}{line[1:]}'


@lru_cache(maxsize=64)
def _encode_source(level: str, logger: str, message: str) -> str:
    """Return the fields that many lines share, without braces."""
    return orjson.dumps({"level": level, "logger": logger, "message": message}).decode()[1:-1]


def configure_logging(level: str) -> None:
    """Send all log records of this process to standard error as JSON lines."""
    global _buffer  # noqa: PLW0603 - a process has one log
    _buffer = _buffer or LineBuffer()
    handler = BufferedHandler(_buffer)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def kind_of(error: Exception) -> str:
    """Return in words what kind of error it is: nothing that was sent is in them."""
    first, _, _ = (type(error).__doc__ or type(error).__name__).partition("\n")
    return first.rstrip(".")


def cut_reason(text: str) -> str:
    """Return the reason of a failure, as long as a line of a log may have it."""
    return text if len(text) <= _MAX_REASON else text[:_MAX_REASON] + "…"


def log_fields(**fields: object) -> dict[str, dict[str, object]]:
    """Return the `extra` argument that adds `fields` to a log line."""
    return {_FIELDS: fields}


def serve_metrics(
    host: str,
    port: int,
    registry: CollectorRegistry,
    probes: Mapping[str, Callable[[], str]] = MappingProxyType({}),
) -> int:
    """Serve Prometheus text on `http://host:port/metrics` from a thread; return the port.

    Args:
        host: Address to listen on.
        port: Port; 0 picks a free one.
        registry: What is told.
        probes: Called for other paths: each returns why the answer is 503, or nothing for 200.
    """
    server, _ = start_http_server(port, host, registry)
    metrics = server.get_app()

    def answer(environ: dict[str, object], start: StartResponse) -> Iterable[bytes]:
        probe = probes.get(str(environ.get("PATH_INFO")))
        if metrics is None or probe is None:
            return metrics(environ, start) if metrics else ()
        obstacle = probe()
        status = "503 Service Unavailable" if obstacle else "200 OK"
        start(status, [("content-type", "text/plain; charset=utf-8")])
        return [f"{obstacle or 'ok'}\n".encode()]

    server.set_app(answer)
    return int(server.server_port)
