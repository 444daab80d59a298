"""Measures a language model by llama.cpp: asked directly, in a replica, and through a deployment.

The three have the same model, settings and minutes, and take turns. What the parts around the
engine cost is measured of those parts alone, less what they use while nobody asks: beside the
engine's milliseconds a token it would be noise.
"""

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from bench.processes import cpu_seconds, proportional_memory_mib
from bench.replica_chunks import passing_microseconds
from bench.report import Row, Table, table_of
from modelplane.adapters.shared.settings import environment
from modelplane.deploy.local.options import LOCAL_MODEL
from modelplane.launcher.model_server.language import CHAT, Abilities, parse_question
from modelplane.launcher.model_server.llama_cpp import Answering
from tests.e2e.system import System, run_system
from tests.hosting.e2e.processes import replicas
from tests.hosting.replica import TOKEN, serving_with
from tests.hosting.weights import model_file

_PARALLEL = (1, 2, 4)
_TOKENS = 96
_CONTEXT = 4096
_SLOTS = 4
_SPINLESS = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"}
_SECONDS = 120.0
_IDLE_SECONDS = 10.0
_REPLAYED = 2_000
_GOAL = "50"


@dataclass(frozen=True)
class _Place:
    """Where the model is asked.

    Attributes:
        name: What it is called.
        port: On this machine.
        path: Of chats.
        headers: Of each request.
        engine: Process that computes.
        beside: Processes that a chunk passes after it.
        start_seconds: How long it took until it answered.
        idle: CPU seconds that those beside use each second while nobody asks.
    """

    name: str
    port: int
    path: str
    headers: Mapping[str, str]
    engine: int
    beside: Sequence[int] = ()
    start_seconds: float = 0.0
    idle: float = 0.0


@dataclass
class _Figures:
    """Of one place and number of parallel requests, a value for each round."""

    rate: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)


def measure(*, rounds: int) -> list[Table]:
    """Return the figures, medians of rounds in turn."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        # Replicas are users of their own, who have to get there.
        folder.chmod(0o755)
        starts = (_engine, _replica, _deployment)
        places = [stack.enter_context(start(folder)) for start in starts]
        for place in places:
            _ask(place, 0, 4)
        found = {(place.name, count): _Figures() for count in _PARALLEL for place in places}
        for _ in range(rounds):
            for count in _PARALLEL:
                for place in places:
                    _load(place, count, found[place.name, count])
        rows = [
            _row(place, count, found[place.name, count]) for count in _PARALLEL for place in places
        ]
    columns = (
        *("asked", "parallel", "tokens/s", "first token ms", "engine CPU ms/token"),
        *("parts beside, CPU µs/chunk", "start s", "memory MiB"),
    )
    title = f"SmolLM2 135M by llama.cpp with one thread, answers of {_TOKENS} tokens, streamed"
    shaping = Row("to shape a chunk in the replica", _shaping_microseconds(), "µs", _GOAL)
    passing = Row("to pass on a chunk of vLLM's by itself", passing_microseconds(), "µs", _GOAL)
    added = table_of("What a replica adds to the engine", [shaping, passing])
    return [Table(title, columns, rows), added]


def _row(place: _Place, count: int, figures: _Figures) -> list[str | float]:
    median: Callable[[Sequence[float]], float] = statistics.median
    return [
        place.name,
        count,
        round(median(figures.rate), 1),
        round(median(figures.first) * 1e3),
        round(median(figures.engine) * 1e3, 1),
        round(median(figures.beside) * 1e6) if place.beside else "-",
        round(place.start_seconds, 2),
        round(proportional_memory_mib(place.engine)),
    ]


def _load(place: _Place, count: int, figures: _Figures) -> None:
    engine = cpu_seconds(place.engine)
    beside = sum(map(cpu_seconds, place.beside))
    started = time.monotonic()
    with ThreadPoolExecutor(count) as pool:
        answers = list(pool.map(lambda number: _ask(place, number, _TOKENS), range(count)))
    seconds = time.monotonic() - started
    chunks = sum(chunks for _, chunks in answers)
    figures.rate.append(chunks / seconds)
    figures.first.append(statistics.median(first for first, _ in answers))
    figures.engine.append((cpu_seconds(place.engine) - engine) / chunks)
    spent = sum(map(cpu_seconds, place.beside)) - beside - place.idle * seconds
    figures.beside.append(spent / chunks)


def _ask(place: _Place, number: int, tokens: int) -> tuple[float, int]:
    """Return how long the first token of an answer took, and how many chunks had one."""
    # Each question is another one, so that none is answered by what was read before.
    story = f"{number + time.monotonic():.6f}: tell me a long story about a cat and a gateway."
    body = {
        "messages": [{"role": "user", "content": story}],
        "max_tokens": tokens,
        "stream": True,
        "temperature": 0,
        "logit_bias": {"2": -100},  # the end of the answer
    }
    with closing(http.client.HTTPConnection("127.0.0.1", place.port, timeout=_SECONDS)) as opened:
        started = time.monotonic()
        opened.request("POST", place.path, json.dumps(body), dict(place.headers))
        answer = opened.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(f"{place.name} answered {answer.status}: {answer.read()[:500]!r}")
        first, chunks = 0.0, 0
        for line in answer:
            if line.startswith(b"data: {") and b'"content":"' in line:
                first = first or time.monotonic() - started
                chunks += 1
    return first, chunks


@contextmanager
def _engine(folder: Path) -> Iterator[_Place]:
    del folder
    command = [sys.executable, "-m", "bench.llama_server", str(model_file())]
    started = time.monotonic()
    with subprocess.Popen(
        [*command, str(_CONTEXT), str(_SLOTS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**environment(), **_SPINLESS},
    ) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        took = time.monotonic() - started
        headers = {"content-type": "application/json"}
        yield _Place("the engine", port, "/v1/chat/completions", headers, process.pid, (), took)


@contextmanager
def _replica(folder: Path) -> Iterator[_Place]:
    options = {"engine": "llama_cpp", "task": CHAT, "name": "x", "context-tokens": str(_CONTEXT)}
    given = [part for name, value in options.items() for part in (f"--{name}", value)]
    started = time.monotonic()
    with serving_with(Path(sys.executable), model_file(), folder, *given) as replica:
        took = time.monotonic() - started
        headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
        pid = replica.process.pid
        yield _Place("a replica", replica.port, "/invocations", headers, pid, (), took)


@contextmanager
def _deployment(folder: Path) -> Iterator[_Place]:
    settings = {"MODELPLANE_FOUNDATION_MODELS": "default"}
    with run_system(folder / "data", workers=1, settings=settings) as system:
        path = f"/serving-endpoints/{LOCAL_MODEL}/invocations"
        port = int(system.url.rpartition(":")[2])
        started = time.monotonic()
        headers = {**system.headers, "content-type": "application/json"}
        waiting = _Place("a deployment", port, path, headers, 0)
        _ask(waiting, 0, 1)
        took = time.monotonic() - started
        [pid] = replicas(system)
        between = _between(system)
        before = sum(map(cpu_seconds, between))
        time.sleep(_IDLE_SECONDS)
        idle = (sum(map(cpu_seconds, between)) - before) / _IDLE_SECONDS
        yield _Place("a deployment", port, path, headers, pid, between, took, idle)


def _between(system: System) -> list[int]:
    state: Any = orjson.loads((system.data_dir / "up.json").read_bytes())
    return [state["envoy"]["pid"], *(worker["pid"] for worker in state["workers"])]


def _shaping_microseconds() -> float:
    """Return what the replica does with a chunk of an engine that only repeats itself."""
    chunk = {
        "id": "chatcmpl-x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "x",
        "system_fingerprint": "b0",
        "choices": [{"index": 0, "finish_reason": None, "delta": {"content": " word"}}],
        "timings": {"cache_n": 0, "prompt_n": 30, "predicted_n": 7, "predicted_ms": 100.0},
    }
    written = json.dumps(chunk)

    def replay(_: object, take: Callable[[object], bool]) -> None:
        for _number in range(_REPLAYED):
            take(json.loads(written))

    body = {"messages": [{"role": "user", "content": "x"}], "stream": True}
    question = parse_question(body, Abilities(CHAT, tools=False))
    engine = SimpleNamespace(handle_chat_completions=replay)
    began = time.process_time()
    for _ in Answering(engine, question, "x").events():
        pass
    spent = time.process_time() - began
    began = time.process_time()
    replay(None, lambda _: False)
    return (spent - (time.process_time() - began)) / _REPLAYED * 1e6
