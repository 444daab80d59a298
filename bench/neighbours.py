"""Measures a provisioned throughput that is asked for far more, and who shares the machine with it.

Two endpoints of one deployment have a chunk each. One is sent as much as eight callers can; the
other, by one caller, half of what it has: alone at first, then beside.
"""

import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import requests

from bench.report import Row, Table, percentile, table_of
from tests.e2e.rest import Rest
from tests.e2e.system import System
from tests.emulators.vllm import install
from tests.hosting.e2e.deployment import deployed, hosting
from tests.hosting.paced import CHUNK, MODEL, PACE, fill_registry

_CALLERS = 8
_TOKENS = 40
_QUIET_TOKENS = 20
_BIN_SECONDS = 20
_ALONE_SECONDS = 20


@dataclass
class Calls:
    """What became of one side's calls.

    Attributes:
        used: When an answer was complete, and the tokens that it used.
        statuses: Answers by status.
        seconds: How long those with 200 took.
        without_retry_after: Refusals that do not say when to come again.
    """

    used: list[tuple[float, int]] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    without_retry_after: int = 0

    def rate(self, begin: float, end: float) -> float:
        """Return tokens per second between two times."""
        return sum(count for when, count in self.used if begin <= when < end) / (end - begin)


@dataclass(frozen=True)
class Figures:
    """What was measured.

    Attributes:
        noisy: Calls of those who send too much.
        alone: Calls of the other side before.
        beside: And meanwhile.
        began: When they began to send too much.
        seconds: How long they did.
    """

    noisy: Calls
    alone: Calls
    beside: Calls
    began: float
    seconds: float

    def bins(self) -> list[float]:
        """Return tokens per second of the noisy side, the first ones left out: a full bucket."""
        steps = range(_BIN_SECONDS, int(self.seconds) - _BIN_SECONDS + 1, _BIN_SECONDS)
        starts = [self.began + step for step in steps]
        return [self.noisy.rate(start, start + _BIN_SECONDS) for start in starts]


def measure(*, seconds: float) -> Figures:
    """Run both sides."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        # Replicas are users of their own, who have to get there.
        folder.chmod(0o755)
        environment = install(folder / "vllm", "vllm-0.32.0+cpu")
        fill_registry(folder / "registry")
        settings = {"launcher_vllm": str(environment), "calibration_seconds": "0"}
        system = stack.enter_context(hosting(folder / "data", folder / "registry", **settings))
        rest = stack.enter_context(Rest(system))
        for endpoint in ("noisy", "quiet"):
            deployed(rest, endpoint, _entity())
        alone, beside, noisy = Calls(), Calls(), Calls()
        _run([("quiet", alone)], system, _ALONE_SECONDS)
        began = time.monotonic()
        _run([("quiet", beside), *[("noisy", noisy)] * _CALLERS], system, seconds)
        return Figures(noisy, alone, beside, began, seconds)


def tabulate(figures: Figures) -> Table:
    """Return the figures as a table."""
    bins = figures.bins()
    rows = [
        Row("tokens per second in bins of 20 s, least", min(bins), "", str(0.95 * CHUNK)),
        Row("the same, most", max(bins), "", str(1.05 * CHUNK)),
        Row("over all", figures.noisy.rate(figures.began, figures.began + figures.seconds), ""),
        Row("refused", figures.noisy.statuses[429], "calls"),
        Row("neighbour alone: median", median(figures.alone.seconds) * 1e3, "ms"),
        Row("neighbour beside: median", median(figures.beside.seconds) * 1e3, "ms"),
        Row("neighbour alone: p95", percentile(sorted(figures.alone.seconds), 0.95) * 1e3, "ms"),
        Row("neighbour beside: p95", percentile(sorted(figures.beside.seconds), 0.95) * 1e3, "ms"),
        Row("neighbour beside: not answered", _failed(figures.beside), "calls", "0"),
    ]
    return table_of(f"A chunk of {CHUNK} tokens per second, asked for all that can be sent", rows)


def _failed(calls: Calls) -> int:
    return sum(count for status, count in calls.statuses.items() if status != requests.codes.ok)


def _entity() -> dict[str, object]:
    return {
        "name": "paced",
        "entity_name": MODEL,
        "entity_version": "1",
        "min_provisioned_throughput": CHUNK,
        "max_provisioned_throughput": CHUNK,
        "environment_vars": {PACE: "0.005"},
    }


def _run(sides: list[tuple[str, Calls]], system: System, seconds: float) -> None:
    ends = time.monotonic() + seconds
    threads = [threading.Thread(target=_ask_on, args=(system, *side, ends)) for side in sides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ask_on(system: System, endpoint: str, calls: Calls, ends: float) -> None:
    url = f"{system.url}/serving-endpoints/{endpoint}/invocations"
    is_quiet = endpoint == "quiet"
    tokens = _QUIET_TOKENS if is_quiet else _TOKENS
    body = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": tokens}
    with requests.Session() as session:
        while (began := time.monotonic()) < ends:
            answer = session.post(url, json=body, headers=system.headers, timeout=60)
            now = time.monotonic()
            calls.statuses[answer.status_code] += 1
            if answer.ok:
                calls.used.append((now, answer.json()["usage"]["total_tokens"]))
                calls.seconds.append(now - began)
            elif "retry-after" not in answer.headers:
                calls.without_retry_after += 1
            if is_quiet:
                time.sleep(max(0.0, began + 2 * tokens / CHUNK - now))
