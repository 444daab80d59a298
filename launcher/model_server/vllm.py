"""A language model that vLLM serves, in a process below this one.

What it is asked and says: https://docs.vllm.ai/en/latest/serving/openai_compatible_server/ and, for
what is not written there, the source of 0.32.0 (`vllm/entrypoints`). It listens on a socket in this
replica's own directory, since its key does not guard all that it serves.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from .answers import write_json
from .bodies import load_json
from .child import Child, Place, Said
from .figures import Figures, of_vllm
from .invocation import event_of, to_the_end
from .language import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    Abilities,
    Question,
    check_dimensions,
    parse_question,
)
from .measuring import Count, measure, question
from .refusals import Refused, bad_request, clean

_SOCKET = "engine.sock"
_PATHS = {
    CHAT: "/v1/chat/completions",
    COMPLETIONS: "/v1/completions",
    EMBEDDINGS: "/v1/embeddings",
}
_DATA = b"data: "
_END = b"[DONE]"
_ERROR = b'{"error":'
# vLLM writes it into each chunk but the last of a choice; in a text the quotes would be escaped.
_GOES_ON = b'"finish_reason":null'
# How it tells that a request is longer than the context: what counts the most, and what was sent.
_TOO_LONG = (
    re.compile(
        r"context length is (?P<most>\d+) tokens\. However, your prompt contains "
        r"(?P<count>(?:at least )?\d+ (?:input tokens|characters))"
    ),
    re.compile(
        r"prompt \(length (?P<count>\d+)\).* longer than the maximum model length of (?P<most>\d+)"
    ),
    re.compile(
        r"Input length \((?P<count>\d+)\) exceeds model's maximum context length "
        r"\((?P<most>\d+)\)"
    ),
)
# What is asked for is at least one (`language`), so it says this where a prompt leaves no room.
_NO_ROOM = "max_tokens must be at least 1, got 0"
# Of what has the wrong form, as pydantic tells it (entrypoints/serve/exception_handling).
_WRONG_FORM = re.compile(
    r"^ *\{'type': '\w+', 'loc': 'body\.(?P<where>[^']*)', 'msg': (?P<what>.*)", re.MULTILINE
)
_END_OF_WHAT = re.compile(r"(?P<quote>['\"])(?P<words>.*?)(?P=quote), 'input'")
_MEASURED_TOKENS = 96


class Options(NamedTuple):
    """How a model is served.

    Attributes:
        command: Starts vLLM with the model.
        name: What answers call it.
        task: What it does.
        tools: Whether vLLM was told how its calls of tools are read.
        context_tokens: Tokens of one request and its answer; 0: as many as the model has.
        concurrency: Requests at a time.
        dimensions: Numbers that each embedding must have; 0: as many as it has.
        evaluation_seconds: How long a request may take.
    """

    command: Sequence[str]
    name: str
    task: str
    tools: bool
    context_tokens: int
    concurrency: int
    dimensions: int
    evaluation_seconds: float


class Vllm:
    """A model that vLLM has loaded."""

    def __init__(self, options: Options) -> None:
        """Start it, and wait until the model is loaded.

        Raises:
            Exception: It cannot be loaded.
        """
        key = secrets.token_hex(32)
        place = Place(_SOCKET, 0, "/health", key)
        command = [*options.command, "--uds", _SOCKET]
        self.child = Child(command, place, variables={"VLLM_API_KEY": key})
        self._options = options
        self._able = Abilities(options.task, options.tools)
        if options.task == EMBEDDINGS:
            check_dimensions(self._embed("a"), options.dimensions)

    def begin(self, body: bytes, headers: Mapping[str, str]) -> Answering:
        """Return what a body asks.

        Raises:
            Refused: It asks for nothing that the model does.
        """
        sent = load_json(body, headers.get("content-type", ""))
        return Answering(self.child, parse_question(sent, self._able), self._options)

    def figures(self) -> Figures:
        """Return what vLLM says of itself.

        Raises:
            Exception: It says nothing.
        """
        return of_vllm(self.child.page("/metrics"))

    def measure(self, seconds: float) -> float:
        """Return how many tokens a second it does; see `measuring.measure`.

        Raises:
            Exception: It cannot be told.
        """
        return measure(self._burden, self._options.concurrency, seconds)

    def _burden(self, number: int, count: Count) -> None:
        options = self._options
        most = (options.context_tokens or 4 * _MEASURED_TOKENS) // 4
        text = question(number, most)
        if options.task == EMBEDDINGS:
            count(self._embed(text)["usage"]["prompt_tokens"])
            return
        # An answer of one's own length each time.
        tokens = max(1, min(_MEASURED_TOKENS, most))
        asked = {"model": options.name, "prompt": text, "max_tokens": tokens, "ignore_eos": True}
        said = self._ask(COMPLETIONS, {**asked, **_streamed(1)})
        counted = 0
        for chunk in _chunks(said):
            known = json.loads(chunk)["usage"]["total_tokens"]
            before, counted = counted, max(counted, known)
            if count(counted - before):
                return

    def _embed(self, text: str) -> dict[str, Any]:
        said = self._ask(EMBEDDINGS, {"model": self._options.name, "input": [text]})
        found: dict[str, Any] = json.loads(said.whole())
        return found

    def _ask(self, task: str, body: dict[str, Any]) -> Said:
        return self.child.ask(_PATHS[task], write_json(body), self._options.evaluation_seconds)


class Answering:
    """One question to a model."""

    def __init__(self, child: Child, question: Question, options: Options) -> None:
        self._child = child
        self._question = question
        self._name = options.name
        self._seconds = options.evaluation_seconds

    @property
    def stream(self) -> bool:
        """Whether the answer is wanted piece by piece."""
        return self._question.stream

    def answer(self) -> bytes:
        """Return the answer, which is vLLM's own.

        Raises:
            Refused: There is none.
        """
        return self._ask().whole()

    def events(self) -> Iterator[bytes]:
        """Return the answer as events; what fails before the first one is a refusal.

        Raises:
            Refused: There is no answer.
        """
        events = self._shaped(_batches(self._ask()))
        first = list(itertools.islice(events, 1))
        return to_the_end(itertools.chain(first, events))

    def _ask(self) -> Said:
        question = self._question
        body = {**question.body, "model": self._name}
        if "response_format" in body:
            body["response_format"] = _named(body["response_format"])
        if question.stream:
            body.update(_streamed(body.get("n", 1)))
        try:
            return self._child.ask(_PATHS[question.task], write_json(body), self._seconds)
        except Refused as refusal:
            raise _clearer(refusal.message) or refusal from refusal

    def _shaped(self, batches: Iterator[list[bytes]]) -> Iterator[bytes]:
        """Yield vLLM's chunks as events, those that came at once together."""
        held: list[dict[str, Any]] = []
        for chunks in batches:
            told = b"".join(event for chunk in chunks for event in self._events_of(chunk, held))
            if told:
                yield told

    def _events_of(self, chunk: bytes, held: list[dict[str, Any]]) -> Iterator[bytes]:
        """Yield what one chunk becomes; the last one has the usage with what was cached.

        Args:
            chunk: The chunk.
            held: The last chunks with choices, which wait for that; changed.
        """
        if _GOES_ON in chunk:
            yield event_of(chunk)
            return
        told = json.loads(chunk)
        if told.get("choices"):
            held.append(told)
            return
        if held:
            held[-1]["usage"] = told["usage"]
        yield from [event_of(write_json(one)) for one in held]
        held.clear()
        if self._question.wants_usage:
            yield event_of(chunk)


def _streamed(choices: int) -> dict[str, Any]:
    """Return the fields of a stream whose chunks tell the usage.

    Of several choices each chunk would tell that of its own.
    """
    usage = {"include_usage": True, "continuous_usage_stats": choices == 1}
    return {"stream": True, "stream_options": usage}


def _chunks(said: Said) -> Iterator[bytes]:
    """Yield the JSON of each event until the end of an answer; see `_batches`."""
    for chunks in _batches(said):
        yield from chunks


def _batches(said: Said) -> Iterator[list[bytes]]:
    """Yield the JSON of the events that have come at once, until the end of an answer.

    Raises:
        Refused: It breaks off, or tells an error.
    """
    for events in said.batches():
        chunks: list[bytes] = []
        for event in events:
            chunk = event[len(_DATA) :]
            if not event.startswith(_DATA):
                continue
            if chunk == _END:
                yield chunks
                return
            if chunk.startswith(_ERROR):
                yield chunks
                raise said.failed(chunk)
            chunks.append(chunk)
        yield chunks
    raise said.broken_off()


def _named(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the form of an answer; a schema, which vLLM wants to have a name, has one."""
    if wanted["type"] != "json_schema":
        return wanted
    return {**wanted, "json_schema": {"name": "answer", **wanted["json_schema"]}}


def _clearer(message: str) -> Refused | None:
    """Return a refusal of vLLM's in words for whoever has asked us; None: its own are."""
    for pattern in _TOO_LONG:
        if found := pattern.search(message):
            count = found["count"].replace("input tokens", "tokens")
            if count.isdigit():
                count += " tokens"
            return bad_request(
                "The input has %s, and the model's context window holds %s tokens; shorten it."
                % (count, found["most"])
            )
    if _NO_ROOM in message:
        return bad_request(
            "The input fills the model's context window, so that there is no room for an answer; "
            "shorten it."
        )
    return _wrong_form(message)


def _wrong_form(message: str) -> Refused | None:
    """Return what is wrong in the first place that is named, without all that it could be."""
    places: dict[str, list[str]] = {}
    for found in _WRONG_FORM.finditer(message):
        if what := _END_OF_WHAT.match(found["what"]):
            places.setdefault(found["where"], []).append(what["words"])
    if not places:
        return None
    where, wrong = next(iter(places.items()))
    return bad_request(clean("%s: %s." % (where, "; ".join(wrong))))
