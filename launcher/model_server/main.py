"""One model: load it, listen, say so, and end when told."""

from __future__ import annotations

import argparse
import functools
import json
import os
import signal
import ssl
import sys
import threading
import traceback
from typing import Callable, NamedTuple, Sequence

from .child import NotReady
from .figures import Figures, Watching
from .last_asked import LastAsked
from .refusals import hide, of_loading
from .server import Begin, Limits, Server, State

# Returns tokens per second, given how long to look; see `measuring`.
Measure = Callable[[float], float]
_TOKEN = "MODELPLANE_REPLICA_TOKEN"  # noqa: S105 - the name of a variable
_ASKED = "MODELPLANE_REPLICA_ASKED"


class Loaded(NamedTuple):
    """A model that can be asked.

    Attributes:
        begin: Begins with what is asked.
        measure: Tells what it does; None: it cannot be told.
        is_healthy: Tells whether what serves it says that it works.
        end: Ends what serves it.
        figures: Asks what serves it how busy it is; None: it does not say.
    """

    begin: Begin
    measure: Measure | None = None
    is_healthy: Callable[[], bool] = lambda: True
    end: Callable[[], None] = lambda: None
    figures: Callable[[], Figures] | None = None


def main(arguments: Sequence[str]) -> int:
    """Serve the model that the arguments name; return the exit status."""
    options = _options(arguments)
    return serve(options, os.environ.pop(_TOKEN, ""), LastAsked(os.environ.pop(_ASKED, "")))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="serve.py")
    parser.add_argument("--model", required=True, help="the model's folder or file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=4, help="requests at a time")
    parser.add_argument("--evaluation-seconds", type=float, default=597.0)
    parser.add_argument("--engine", choices=tuple(_LOAD), default="mlflow_pyfunc")
    parser.add_argument("--name", default="model", help="what a language model's answers call it")
    parser.add_argument("--task", default="llm/v1/chat", help="what a language model does")
    parser.add_argument("--context-tokens", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--unnormalized", action="store_true", help="embeddings as they are")
    parser.add_argument("--dimensions", type=int, default=0, help="that embeddings must have")
    parser.add_argument(
        "--calibration-seconds", type=float, default=0.0, help="to measure what it does, first"
    )
    parser.add_argument("--tls", help="file of its certificate and key; none: without TLS")
    parser.add_argument("--ready-fd", type=int, help="where to say once that the model is loaded")
    parser.add_argument("--tools", action="store_true", help="calls of tools can be read")
    parser.add_argument("--shell", default="", help="command of the model's own, for a shell")
    parser.add_argument(
        "--child", nargs=argparse.REMAINDER, default=[], help="command of the engine; the last"
    )
    return parser.parse_args(arguments)


def serve(options: argparse.Namespace, token: str, asked: LastAsked) -> int:
    """Load a model and answer requests until the process is told to end."""
    told_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
    hide(options.model)
    try:
        loaded = _LOAD[options.engine](options)
    except BaseException as error:
        if not isinstance(error, NotReady):
            # Below the last words of a server of its own, ours would be in the way.
            traceback.print_exc()
        _tell(options.ready_fd, {"error": of_loading(error)})
        return 1
    rate = _measure(loaded.measure, options.calibration_seconds)
    # A model may have taken the signal for itself.
    signal.signal(signal.SIGTERM, lambda *_: told_to_end.set())
    try:
        limits = Limits(options.concurrency, options.evaluation_seconds, _tls(options.tls))
        state = State(loaded.is_healthy, Watching(loaded.figures) if loaded.figures else None)
        server = Server(loaded.begin, token, limits, asked, state)
        port = server.listen(options.host, options.port)
    except OSError as error:
        _tell(options.ready_fd, {"error": "Cannot listen: %s" % error.strerror})
        return 1
    _tell(options.ready_fd, {"port": port, "tokens_per_second": rate})
    told_to_end.wait()
    server.stop()
    loaded.end()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that the model started would keep the process.
    os._exit(0)


def _tls(file: str | None) -> ssl.SSLContext | None:
    if file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(file)
    return context


def _measure(measure: Measure | None, seconds: float) -> float:
    """Return how many tokens a second the model does; 0: that is not known."""
    if measure is None or seconds <= 0:
        return 0.0
    try:
        rate = measure(seconds)
    except Exception:
        # It serves all the same.
        traceback.print_exc()
        return 0.0
    sys.stdout.write("measured: %.1f tokens per second\n" % rate)
    sys.stdout.flush()
    return rate


# Each imports what it needs alone: a model's own environment has nothing else.
def _load_pyfunc(options: argparse.Namespace) -> Loaded:
    from .invocation import Invocation  # noqa: PLC0415
    from .model import Model  # noqa: PLC0415

    return Loaded(functools.partial(Invocation, Model(options.model)))


def _load_llama_cpp(options: argparse.Namespace) -> Loaded:
    from .llama_cpp import LlamaCpp, Options  # noqa: PLC0415

    chosen = Options(
        file=options.model,
        name=options.name,
        task=options.task,
        threads=options.threads,
        context_tokens=options.context_tokens,
        concurrency=options.concurrency,
        normalized=not options.unnormalized,
        dimensions=options.dimensions,
    )
    model = LlamaCpp(chosen)
    return Loaded(model.begin, model.measure, figures=model.figures)


def _load_vllm(options: argparse.Namespace) -> Loaded:
    from .vllm import Options, Vllm  # noqa: PLC0415

    chosen = Options(
        command=options.child,
        name=options.name,
        task=options.task,
        tools=options.tools,
        context_tokens=options.context_tokens,
        concurrency=options.concurrency,
        dimensions=options.dimensions,
        evaluation_seconds=options.evaluation_seconds,
    )
    model = Vllm(chosen)
    child = model.child
    return Loaded(model.begin, model.measure, child.is_healthy, child.end, model.figures)


def _load_command(options: argparse.Namespace) -> Loaded:
    from .command import Command, Options  # noqa: PLC0415

    model = Command(Options(options.shell, options.model, options.evaluation_seconds))
    return Loaded(model.begin, None, model.child.is_healthy, model.child.end)


_LOAD: dict[str, Callable[[argparse.Namespace], Loaded]] = {
    "mlflow_pyfunc": _load_pyfunc,
    "llama_cpp": _load_llama_cpp,
    "vllm": _load_vllm,
    "command": _load_command,
}


def _tell(descriptor: int | None, message: object) -> None:
    line = json.dumps(message) + "\n"
    if descriptor is None:
        sys.stdout.write(line)
        sys.stdout.flush()
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(line)
