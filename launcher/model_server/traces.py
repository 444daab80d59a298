"""Traces of what a model does for one request, for callers who ask for them.

MLflow makes them, as it does on Databricks: where the model's owner has set ENABLE_MLFLOW_TRACING,
it keeps the trace of each request in memory until whoever has asked takes it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import uuid
from typing import Any, Iterator

from .refusals import bad_request

_ENABLE = "ENABLE_MLFLOW_TRACING"
_ELSEWHERE = "MLFLOW_TRACKING_URI"
# By this MLflow knows that a server takes the traces.
_SERVING = "IS_IN_DB_MODEL_SERVING_ENV"


def prepare() -> bool:
    """Let MLflow keep traces, or make none; tell whether it keeps them. Before MLflow is used."""
    if _ELSEWHERE in os.environ:
        return False
    if os.environ.get(_ENABLE, "").lower() == "true":
        os.environ[_SERVING] = "true"
        with contextlib.suppress(ImportError):  # not every MLflow traces
            importlib.import_module("mlflow.tracing.export.inference_table")
            return True
        return False
    # Agents trace each call, by default into a database in the folder they were started in.
    with contextlib.suppress(ImportError, AttributeError):  # as above
        importlib.import_module("mlflow.tracing").disable()
    return False


class Trace:
    """The trace of one request.

    Args:
        kept: Whether MLflow keeps traces.
        request_id: Of the request, which its caller may have chosen.
    """

    def __init__(self, *, kept: bool, request_id: str) -> None:
        self._kept = kept
        self._request_id = request_id
        # MLflow's name for it: no caller may get what another one's request has left.
        self._key = uuid.uuid4().hex

    def require(self) -> None:
        """Check that there will be one.

        Raises:
            Refused: There will not.
        """
        if not self._kept:
            raise bad_request(
                "The model keeps no traces that could be returned: let its owner set the "
                "environment variable %s to true, and no %s, or leave out return_trace and "
                "x-mlflow-return-trace-id." % (_ENABLE, _ELSEWHERE)
            )

    @contextlib.contextmanager
    def made(self) -> Iterator[None]:
        """Let MLflow know whose trace is made meanwhile; it is dropped unless it is taken."""
        if not self._kept:
            yield
            return
        contexts = importlib.import_module("mlflow.pyfunc.context")
        with contexts.set_prediction_context(contexts.Context(request_id=self._key)):
            try:
                yield
            finally:
                self._taken = self._pop()

    def output(self) -> dict[str, Any]:
        """Return what an answer says of it, once it is made."""
        return {"trace": self._taken, "databricks_request_id": self._request_id}

    def name(self) -> str | None:
        """Return what MLflow calls it, once it is made; None: MLflow has made none."""
        info = (self._taken or {}).get("info") or {}
        return info.get("trace_id") or info.get("request_id")

    def _pop(self) -> Any:
        return importlib.import_module("mlflow.tracing.export.inference_table").pop_trace(self._key)
