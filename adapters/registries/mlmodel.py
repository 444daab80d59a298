"""What an `MLmodel` file says: parsed once, so that nothing else depends on its form.

MLflow writes it beside each model (https://mlflow.org/docs/latest/ml/model/), since its first
releases and with any flavor. Beside: `base`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelserving.launcher.v1.launcher_service_pb2 import EngineOptions
from modelserving.store.v1.hosting_pb2 import ModelDescription

from modelplane.adapters.registries.base import ModelUnusable

_MAX_SCHEMA = 256 * 1024
_MAX_FLAVORS = 64
_MAX_WORD = 256
_LANGUAGE = "llm/v1/"
_EMBEDDINGS = "llm/v1/embeddings"
_TASKS = ("llm/v1/chat", "llm/v1/completions", _EMBEDDINGS)
_GGUF = "gguf"
_TRANSFORMERS = "transformers"
_PYFUNC = "python_function"


@dataclass(frozen=True, slots=True)
class Transformer:
    """What `mlflow.transformers` says of a model.

    Attributes:
        architecture: Class of the model, for example `LlamaForCausalLM`; empty: not said.
        source: Name on a hub that it was loaded by; empty: not said.
        has_weights: Whether they are among its files, and not only named.
        is_adapter: Whether it is an adapter (PEFT), whose base is not among its files.
        engine: What it asks to be served by; empty: whatever can.
    """

    architecture: str = ""
    source: str = ""
    has_weights: bool = False
    is_adapter: bool = False
    engine: str = ""


@dataclass(frozen=True, slots=True)
class MlModel:
    """A parsed file.

    Attributes:
        description: What is kept of it.
        entrypoint: Command that the model wants to be served by; empty: none.
        options: What an engine for language models is told.
        transformer: What it says where it is a model of transformers'.
    """

    description: ModelDescription
    entrypoint: str
    transformer: Transformer = Transformer()
    options: EngineOptions = field(default_factory=EngineOptions)

    @property
    def is_gguf(self) -> bool:
        """Whether it is a language model in the form that llama.cpp serves as it is."""
        return self.description.task in _TASKS and _GGUF in self.description.flavors

    @property
    def is_language_model(self) -> bool:
        """Whether it is the weights of a language model, for an engine, and no Python function."""
        described = self.description
        return described.task.startswith(_LANGUAGE) and _TRANSFORMERS in described.flavors

    @property
    def is_python_function(self) -> bool:
        """Whether MLflow can load it as a Python function."""
        return _PYFUNC in self.description.flavors


def parse_mlmodel(content: bytes) -> MlModel:
    """Return what an `MLmodel` file says; what it does not say is empty.

    Raises:
        ModelUnusable: It is none.
    """
    import yaml  # noqa: PLC0415 - only who has a registry reads any

    # What stands for a number or a date stays a text: some that fit into a file take minutes to be
    # made into one. The loader in C is ten times as fast, where it is built in.
    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        # Aliases make no copies, and nothing below goes through values that it does not know.
        document = yaml.load(content, Loader=loader)  # noqa: S506 - makes texts, lists and mappings
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelUnusable(
            f"Its MLmodel file cannot be read ({type(error).__name__}); log the model again."
        ) from error
    if not isinstance(document, dict) or not _mapping(document, "flavors"):
        raise ModelUnusable("Its MLmodel file names no flavors; log the model with MLflow.")
    flavors = _mapping(document, "flavors")
    metadata, signature = _mapping(document, "metadata"), _mapping(document, "signature")
    pyfunc, transformers = _mapping(flavors, _PYFUNC), _mapping(flavors, _TRANSFORMERS)
    description = ModelDescription(
        # Models that were logged before MLflow 2.12.1 may have it in the metadata alone.
        task=_word(metadata, "task") or _word(transformers, "inference_task"),
        streamable=_word(pyfunc, "streamable").lower() == "true",
        inputs=_schema(signature, "inputs"),
        outputs=_schema(signature, "outputs"),
        params=_schema(signature, "params"),
        flavors=[str(name)[:_MAX_WORD] for name in list(flavors)[:_MAX_FLAVORS]],
        mlflow_version=_word(document, "mlflow_version"),
        size_bytes=_size(document),
        architecture=_word(transformers, "pipeline_model_type"),
        # Models for embeddings of GTE and BGE are logged with it, as `gte-large`.
        family=_FAMILY.split(_word(metadata, "model_type").lower(), maxsplit=1)[0][:_MAX_FAMILY],
    )
    transformer = Transformer(
        architecture=_word(transformers, "pipeline_model_type"),
        source=_word(transformers, "source_model_name"),
        has_weights=bool(_word(transformers, "model_binary")),
        is_adapter="peft_adaptor" in transformers,
        engine=_word(metadata, "engine"),
    )
    options = _options(description, metadata)
    return MlModel(description, _word(metadata, "entrypoint"), transformer, options)


def _options(description: ModelDescription, metadata: Mapping[Any, Any]) -> EngineOptions:
    if not description.task.startswith(_LANGUAGE):
        return EngineOptions()
    context, dimensions = _word(metadata, "context_tokens"), _word(metadata, "dimensions")
    return EngineOptions(
        task=description.task,
        context_tokens=int(context) if _COUNT.fullmatch(context) else 0,
        unnormalized=_word(metadata, "normalized").lower() == "false",
        dimensions=int(dimensions) if _COUNT.fullmatch(dimensions) else 0,
    )


_COUNT = re.compile(r"[1-9]\d{0,6}")
# What ends the family in the name of a kind of models.
_FAMILY = re.compile(r"[^a-z0-9]")
_MAX_FAMILY = 32
_SIZE = re.compile(r"[1-9]\d{0,17}")


def _mapping(document: Mapping[Any, Any], key: str) -> Mapping[Any, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _word(document: Mapping[Any, Any], key: str) -> str:
    value = document.get(key)
    return value[:_MAX_WORD] if isinstance(value, str) else ""


def _schema(signature: Mapping[Any, Any], key: str) -> str:
    value = signature.get(key)
    if not isinstance(value, str):
        return ""
    if len(value) > _MAX_SCHEMA:
        raise ModelUnusable(
            f"The {key} of its signature have {len(value)} characters; at most {_MAX_SCHEMA} are "
            "taken. Log the model with a smaller signature."
        )
    return value


def _size(document: Mapping[Any, Any]) -> int:
    value = _word(document, "model_size_bytes")
    return int(value) if _SIZE.fullmatch(value) else 0
