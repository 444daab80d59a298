"""A language model in GGUF, which llama.cpp runs in this process (package `xllamacpp`).

Several requests are in it at a time: as many as the server has slots. It is asked by calls; what it
listens on beside is for its own page about the model, with a key that nobody else has.
"""

from __future__ import annotations

import functools
import http.client
import importlib
import itertools
import json
import queue
import re
import secrets
import threading
from typing import Any, Iterator, Mapping, NamedTuple

from .answers import write_json
from .bodies import load_json
from .figures import Figures, of_llama_cpp
from .invocation import event_of, to_the_end
from .language import CHAT, EMBEDDINGS, Abilities, Question, check_dimensions, parse_question
from .llama_cpp_answers import Shaping, asked_of
from .measuring import Count, measure, question
from .refusals import Refused, bad_request, clean

_HOST = "127.0.0.1"
_CACHE_MIB = 64
_PAGE_SECONDS = 30
_OVERFLOW = "exceed_context_size_error"
# Of a model for embeddings, whose batch is its context.
_BATCH_OVERFLOW = re.compile(r"input \((\d+) tokens\) is too large .*batch size: (\d+)")
_NORMALIZED, _AS_IT_IS = 2, -1  # llama.cpp's names for the Euclidean norm, and for none
# A caller who reads slowly must not have the whole answer kept for it.
_MOST_CHUNKS = 256
# Of each answer by which it is measured how much a model does.
_MEASURED_TOKENS = 96


class Options(NamedTuple):
    """How a model is loaded.

    Attributes:
        file: The model in GGUF.
        name: What answers call it.
        task: What it does.
        threads: Of its computation.
        context_tokens: Tokens of one request and its answer.
        concurrency: Requests at a time.
        normalized: Whether embeddings have length 1.
        dimensions: Numbers that each must have; 0: as many as it has.
    """

    file: str
    name: str
    task: str
    threads: int
    context_tokens: int
    concurrency: int
    normalized: bool
    dimensions: int = 0


class LlamaCpp:
    """A loaded model."""

    def __init__(self, options: Options) -> None:
        """Load it.

        Raises:
            Exception: It cannot be loaded.
        """
        xllamacpp = importlib.import_module("xllamacpp")
        key = secrets.token_hex(32)
        params = xllamacpp.CommonParams()
        params.model.path = options.file
        params.model_alias = {options.name}
        params.hostnames = [_HOST]
        params.port = 0
        params.api_keys = [key]
        params.ui = False
        params.endpoint_metrics = params.endpoint_slots = True
        params.n_threads_http = 2
        params.n_parallel = options.concurrency
        params.n_ctx = options.context_tokens * options.concurrency
        params.cache_ram_mib = _CACHE_MIB
        params.cpuparams.n_threads = options.threads
        params.cpuparams_batch.n_threads = options.threads
        if options.task == EMBEDDINGS:
            params.embedding = True
            params.embd_normalize = _NORMALIZED if options.normalized else _AS_IT_IS
            # A text is read as one batch.
            params.n_batch = params.n_ubatch = options.context_tokens
        self._server = xllamacpp.Server(params)
        if options.task == EMBEDDINGS:
            # Where a model does not say how, it is told only now.
            found = _checked(self._server.handle_embeddings({"input": ["a"]}))
            check_dimensions(found, options.dimensions)
        self._options = options
        self._name = options.name
        self._page = functools.partial(_page, self._server.listening_address, key)
        self._able = Abilities(options.task, _has_tools(self._page("/props")))

    def begin(self, body: bytes, headers: Mapping[str, str]) -> Answering:
        """Return what a body asks.

        Raises:
            Refused: It asks for nothing that the model does.
        """
        sent = load_json(body, headers.get("content-type", ""))
        question = parse_question(sent, self._able)
        return Answering(self._server, question, self._name)

    def figures(self) -> Figures:
        """Return what llama.cpp says of itself.

        Raises:
            Exception: It says nothing.
        """
        return of_llama_cpp(self._page("/metrics").decode(), json.loads(self._page("/slots")))

    def measure(self, seconds: float) -> float:
        """Return how many tokens a second it does; see `measuring.measure`.

        Raises:
            Exception: It cannot be told.
        """
        return measure(self._burden, self._options.concurrency, seconds)

    def _burden(self, number: int, count: Count) -> None:
        most = self._options.context_tokens // 4
        text = question(number, most)
        if self._options.task == EMBEDDINGS:
            said = _checked(self._server.handle_embeddings({"input": [text]}))
            count(said["usage"]["prompt_tokens"])
            return
        counted = 0

        def take(chunk: object) -> bool:
            nonlocal counted
            timings = _checked(chunk).get("timings") or {}
            known = timings.get("prompt_n", 0) + timings.get("predicted_n", 0)
            before, counted = counted, max(counted, known)
            return count(counted - before)

        asked = {"prompt": text, "max_tokens": max(1, min(_MEASURED_TOKENS, most))}
        # An answer of one's own length each time, and nothing kept from those before.
        told = {"stream": True, "timings_per_token": True, "cache_prompt": False}
        self._server.handle_completions({**asked, **told, "ignore_eos": True}, take)


class Answering:
    """One question to a model."""

    def __init__(self, server: Any, question: Question, name: str) -> None:
        self._question = question
        self._body = asked_of(question)
        self._shaping = Shaping(question, name)
        if question.task == EMBEDDINGS:
            self._ask = server.handle_embeddings
        elif question.task == CHAT:
            self._ask = server.handle_chat_completions
        else:
            self._ask = server.handle_completions
        # A queue with a bound of its own takes several locks of Python's for each chunk.
        self._chunks: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._has_room = threading.Event()
        self._has_room.set()
        self._is_over = threading.Event()

    @property
    def stream(self) -> bool:
        """Whether the answer is wanted piece by piece."""
        return self._question.stream

    def answer(self) -> bytes:
        """Return the answer.

        Raises:
            Refused: There is none.
        """
        try:
            said = self._ask(self._body)
        except Exception as error:
            raise _refused(error) from error
        return write_json(self._shaping.shape(_checked(said)))

    def events(self) -> Iterator[bytes]:
        """Return the answer as events; what fails before the first one is a refusal.

        Raises:
            Refused: There is no answer.
        """
        threading.Thread(target=self._generate, daemon=True).start()
        chunks = self._shaped()
        try:
            first = list(itertools.islice(chunks, 1))
        except BaseException:
            self._is_over.set()
            raise
        return self._rest(itertools.chain(first, chunks))

    def _rest(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from to_the_end(chunks)
        finally:
            # The engine hears of it with its next token.
            self._is_over.set()

    def _shaped(self) -> Iterator[bytes]:
        """Yield events; those that have come meanwhile together."""
        told: list[bytes] = []
        while True:
            chunk = self._chunks.get()
            if not self._has_room.is_set():
                self._has_room.set()
            try:
                told += self._events_of(chunk)
            except Refused:
                if told:
                    yield b"".join(told)
                raise
            if told and (chunk is None or self._chunks.empty()):
                yield b"".join(told)
                told = []
            if chunk is None:
                return

    def _events_of(self, chunk: object) -> list[bytes]:
        if chunk is None:
            return []
        if isinstance(chunk, Exception):
            raise _refused(chunk) from chunk
        shaped = self._shaping.shape_chunk(_checked(chunk))
        return [event_of(write_json(one)) for one in shaped]

    def _generate(self) -> None:
        end: object = None
        try:
            self._ask(self._body, self._take)
        except Exception as error:
            end = error
        self._put(end)

    def _take(self, chunk: object) -> bool:
        """Take a chunk of the engine's; true: it is to stop."""
        self._put(chunk)
        return self._is_over.is_set()

    def _put(self, chunk: object) -> None:
        while self._chunks.qsize() >= _MOST_CHUNKS and not self._is_over.is_set():
            self._has_room.clear()
            if self._chunks.qsize() >= _MOST_CHUNKS:
                self._has_room.wait(1.0)
        if not self._is_over.is_set():
            self._chunks.put(chunk)


def _page(address: str, key: str, path: str) -> bytes:
    """Return a page of the engine's about itself."""
    place = address.partition("://")[2]
    page = http.client.HTTPConnection(place, timeout=_PAGE_SECONDS)
    try:
        page.request("GET", path, headers={"authorization": "Bearer " + key})
        return page.getresponse().read()
    finally:
        page.close()


def _has_tools(said: bytes) -> bool:
    """Return whether the model's chat template has tools."""
    properties = json.loads(said)
    return bool((properties.get("chat_template_caps") or {}).get("supports_tools"))


def _checked(said: object) -> dict[str, Any]:
    """Return what an engine says where it is an answer."""
    if not isinstance(said, dict):
        raise bad_request("The model has given no answer.")
    if "error" in said:
        raise _refused_by(said["error"])
    return said


def _refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    return bad_request(clean("The model cannot answer this: %s" % error))


def _refused_by(error: Any) -> Refused:
    if not isinstance(error, dict):
        return bad_request("The model cannot answer this.")
    message = str(error.get("message", ""))
    if error.get("type") == _OVERFLOW:
        return _too_long(error.get("n_prompt_tokens"), error.get("n_ctx"))
    if found := _BATCH_OVERFLOW.search(message):
        return _too_long(*found.groups())
    return bad_request(clean("The model cannot answer this: %s" % message))


def _too_long(count: object, most: object) -> Refused:
    return bad_request(
        "The input has %s tokens, and the model's context window holds %s; shorten it."
        % (count, most)
    )
