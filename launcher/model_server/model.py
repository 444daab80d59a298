"""The model, as the environment's own MLflow loads it; any MLflow of 2 and 3."""

from __future__ import annotations

import importlib
import inspect
import os
from typing import Any, Iterable

from . import traces

_MLMODEL_FLAVOR = "python_function"
# Of MLflow's ResponsesAgent, unless its owner says another one.
_RESPONSES = "agent/v1/responses"


class Model:
    """A loaded model and what of its `MLmodel` decides how it is asked."""

    def __init__(self, folder: str) -> None:
        """Load it.

        Raises:
            BaseException: Whatever the model's code raises.
        """
        os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
        self.keeps_traces = traces.prepare()
        mlflow_pyfunc = importlib.import_module("mlflow.pyfunc")
        self._loaded = mlflow_pyfunc.load_model(folder)
        described = self._loaded.metadata
        flavor = described.flavors.get(_MLMODEL_FLAVOR, {})
        self.streamable = bool(flavor.get("streamable")) and hasattr(self._loaded, "predict_stream")
        self.task = str((getattr(described, "metadata", None) or {}).get("task", ""))
        self.is_responses_agent = self.task == _RESPONSES
        self.input_schema = described.get_input_schema()
        self.params_names = _params_names(described)
        self.by_type_hints = bool(_ask(described, "_is_signature_from_type_hint"))
        self._takes_params = "params" in inspect.signature(self._loaded.predict).parameters

    @property
    def columns(self) -> frozenset[str]:
        """The names of the signature's columns."""
        schema = self.input_schema
        if schema is None or not schema.has_input_names():
            return frozenset()
        return frozenset(schema.input_names())

    def floating_columns(self) -> frozenset[str]:
        """Return the columns that hold one number each, with a fraction."""
        schema = self.input_schema
        if schema is None or not schema.has_input_names() or schema.is_tensor_spec():
            return frozenset()
        return frozenset(
            spec.name
            for spec in schema.inputs
            if getattr(spec.type, "name", "") in {"double", "float"}
        )

    def predict(self, given: object, params: object | None) -> object:
        """Ask the model, which first checks what it is given against its signature."""
        if self._takes_params:
            return self._loaded.predict(given, params=params)
        return self._loaded.predict(given)

    def predict_stream(self, given: object, params: object | None) -> Iterable[object]:
        """Ask the model for an answer piece by piece."""
        pieces: Iterable[object] = self._loaded.predict_stream(given, params=params)
        return pieces


def _params_names(described: Any) -> frozenset[str]:
    schema = _ask(described, "get_params_schema")
    return frozenset(param.name for param in schema.params) if schema else frozenset()


def _ask(described: Any, method: str) -> Any:
    return getattr(described, method)() if hasattr(described, method) else None
