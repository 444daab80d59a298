"""A request to the model, from the bytes of its body to those of the answer."""

from __future__ import annotations

import sys
import traceback
from typing import Iterator, Mapping

from .answers import write_json
from .bodies import Call, parse_body
from .model import Model
from .refusals import Refused, bad_request, of_model
from .traces import Trace

DONE = b"data: [DONE]\n\n"
# With this header set to "true", MLflow's own server for agents tells the name of the trace: in the
# answer's `metadata`, or as the last event of a stream.
_TRACE_ID = "x-mlflow-return-trace-id"
_SIGNATURE_ERRORS = ("Failed to enforce schema", "Model is missing inputs", "Invalid parameters")


class Invocation:
    """What one body asks of a model."""

    def __init__(self, model: Model, body: bytes, headers: Mapping[str, str]) -> None:
        self._model = model
        self._request_id = headers.get("x-request-id", "")
        self._call: Call = parse_body(body, headers.get("content-type", ""), model)
        self._trace = Trace(kept=model.keeps_traces, request_id=self._request_id)
        wanted = headers.get(_TRACE_ID, "").lower() == "true"
        self._names_trace = wanted and model.is_responses_agent
        if self._call.trace or self._names_trace:
            self._trace.require()

    @property
    def stream(self) -> bool:
        """Whether the answer is wanted piece by piece."""
        return self._call.stream

    def answer(self) -> bytes:
        """Return the model's answer.

        Raises:
            Refused: There is none.
        """
        try:
            with self._trace.made():
                said = self._model.predict(self._call.given, self._call.params)
            return write_json(self._with_trace(self._shape(said)))
        except BaseException as error:
            raise self._refused(error) from error

    def events(self) -> Iterator[bytes]:
        """Return the model's answer as events; what fails before the first one is a refusal.

        Raises:
            Refused: There is no answer.
        """
        try:
            pieces = iter(self._pieces())
            first: list[object] = [piece for _, piece in zip(range(1), pieces)]
            written = [event_of(write_json(piece)) for piece in first]
        except BaseException as error:
            raise self._refused(error) from error
        return self._rest(written, pieces)

    def _pieces(self) -> Iterator[object]:
        with self._trace.made():
            yield from self._model.predict_stream(self._call.given, self._call.params)
        if self._call.trace:
            yield {"databricks_output": self._trace.output()}
        if self._names_trace:
            yield {"trace_id": self._trace.name()}

    def _rest(self, written: list[bytes], pieces: Iterator[object]) -> Iterator[bytes]:
        try:
            yield from written
            for piece in pieces:
                yield event_of(write_json(piece))
        except GeneratorExit:
            raise
        except BaseException as error:
            yield error_event(self._refused(error))
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        yield DONE

    def _shape(self, said: object) -> object:
        if not self._call.bare:
            return {"predictions": said}
        alone = isinstance(said, list) and len(said) == 1 and isinstance(said[0], dict)
        if alone and self._model.task.startswith("llm/v1/"):
            return said[0]  # type: ignore[index]
        return said

    def _with_trace(self, answer: object) -> object:
        if not (self._call.trace or self._names_trace):
            return answer
        if not isinstance(answer, dict):
            raise bad_request("The model's answer is no object, which a trace could be added to.")
        if self._call.trace:
            answer = {**answer, "databricks_output": self._trace.output()}
        if self._names_trace:
            metadata = {**(answer.get("metadata") or {}), "trace_id": self._trace.name()}
            answer = {**answer, "metadata": metadata}
        return answer

    def _refused(self, error: BaseException) -> Refused:
        if isinstance(error, Refused):
            return error
        if not str(error).startswith(_SIGNATURE_ERRORS):  # those hold the caller's data
            told = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            sys.stderr.write("request %s failed\n%s" % (self._request_id or "?", told))
            sys.stderr.flush()
        return of_model(error)


def to_the_end(events: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the events of a stream that has begun, what fails in it, and that it is over."""
    try:
        yield from events
    except Refused as refusal:
        yield error_event(refusal)
    yield DONE


def error_event(refusal: Refused) -> bytes:
    """Return the event that tells of a failure in the middle of an answer."""
    return event_of(write_json({"error": {"message": refusal.message, "code": refusal.code}}))


def event_of(data: bytes) -> bytes:
    """Return JSON as an event."""
    return b"data: " + data + b"\n\n"
