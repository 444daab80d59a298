"""Which engine serves a model, and why none does. Pure.

A model that was logged by `mlflow.transformers` with one of the tasks `llm/v1/…` is never served as
a Python function: without batches, streams and probabilities it would not be what the task
promises. Before: `pinning`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from modelserving.launcher.v1.launcher_service_pb2 import Capacity, ReplicaSize

from modelplane.adapters.registries.mlmodel import MlModel, Transformer
from modelplane.control_plane.errors import InvalidParameter

PYFUNC = "mlflow_pyfunc"
LLAMA_CPP = "llama_cpp"
VLLM = "vllm"
COMMAND = "command"
CHAT, COMPLETIONS, EMBEDDINGS = "llm/v1/chat", "llm/v1/completions", "llm/v1/embeddings"
_TEXTS = frozenset({CHAT, COMPLETIONS})
_VECTORS = frozenset({EMBEDDINGS})
TASKS = (CHAT, COMPLETIONS, EMBEDDINGS)
# What the launchers' converter can bring into the form of llama.cpp, and for which tasks.
CONVERTIBLE: Mapping[str, Collection[str]] = MappingProxyType(
    {
        "LlamaForCausalLM": _TEXTS,
        "MistralForCausalLM": _TEXTS,
        "Qwen2ForCausalLM": _TEXTS,
        "Qwen3ForCausalLM": _TEXTS,
        "BertModel": _VECTORS,
        "BertForMaskedLM": _VECTORS,
    }
)


@dataclass(frozen=True, slots=True)
class Engines:
    """What serves models beside what serves Python functions, which is everywhere.

    Attributes:
        with_gpus: On workload types that have GPUs.
        without_gpus: On those that have none.
    """

    with_gpus: Collection[str] = ()
    without_gpus: Collection[str] = ()

    def on(self, size: ReplicaSize) -> Collection[str]:
        """Return what serves on replicas of a size."""
        return self.with_gpus if size.gpus else self.without_gpus


NO_ENGINES = Engines()
# Of launchers that do not say what they have.
USUAL_ENGINES = Engines((), (LLAMA_CPP,))
# The operator's catalogue says which is to serve a model, whether a launcher is there yet or not.
ALL_ENGINES = Engines((VLLM,), (LLAMA_CPP, VLLM))
# Of a launcher that may come.
POSSIBLE_ENGINES = Engines((VLLM, COMMAND), (LLAMA_CPP, VLLM, COMMAND))


def engines_of(capacity: Capacity) -> Engines:
    """Return the engines that a launcher says it has."""
    said = capacity.engines
    if not said:
        return USUAL_ENGINES
    return Engines(
        frozenset(one.name for one in said if one.with_gpus),
        frozenset(one.name for one in said if one.without_gpus),
    )


def choose_engine(model: MlModel, engines: Collection[str]) -> str:
    """Return the engine that serves a model.

    Args:
        model: What its `MLmodel` file says.
        engines: Those that there are for its workload type, beside the one for Python functions.

    Raises:
        InvalidParameter: None does; the text goes on after "model 'NAME' …".
    """
    if model.is_gguf:
        _require_llama_cpp(engines)
        return LLAMA_CPP
    if model.is_language_model:
        return _for_language(model, engines)
    if model.entrypoint:
        if COMMAND not in engines:
            raise InvalidParameter(
                "asks to be served by a command of its own (metadata.entrypoint), which this "
                "deployment's launcher does not allow; let the operator start it with "
                "MODELPLANE_LAUNCHER_COMMANDS=yes, or log the model as a Python function."
            )
        return COMMAND
    if not model.is_python_function:
        flavors = ", ".join(model.description.flavors)
        raise InvalidParameter(
            f"has the flavors {flavors}, and not python_function, which is the one that is served; "
            "log it with that."
        )
    return PYFUNC


def _require_llama_cpp(engines: Collection[str]) -> None:
    if LLAMA_CPP not in engines:
        raise InvalidParameter(
            "is in GGUF, which llama.cpp serves, and that uses no GPUs here; choose a "
            "workload_type without GPUs."
        )


def _for_language(model: MlModel, engines: Collection[str]) -> str:
    task, told = model.description.task, model.transformer
    if LLAMA_CPP not in engines and VLLM not in engines:
        raise InvalidParameter(
            f"is a language model (task {task}), which an engine has to serve, and there is none "
            "for this workload_type: llama.cpp serves on those without GPUs, and vLLM where the "
            "operator has it (MODELPLANE_LAUNCHER_VLLM). Choose another workload_type, or serve "
            "it as an external_model."
        )
    if task not in TASKS:
        raise InvalidParameter(
            f"has the task {task}, which no engine serves; log it with one of {', '.join(TASKS)}."
        )
    _check_weights(told)
    if told.engine not in ("", *engines):
        raise InvalidParameter(
            f"asks for the engine {told.engine}, which is not there for this workload_type; log "
            "it without metadata.engine, or choose another workload_type."
        )
    if VLLM in engines and told.engine != LLAMA_CPP:
        is_vllms = told.engine == VLLM or LLAMA_CPP not in engines
        if is_vllms or task not in _tasks_of(told.architecture):
            return VLLM
    _check_convertible(told.architecture, task)
    return LLAMA_CPP


def _check_weights(told: Transformer) -> None:
    if told.is_adapter:
        raise InvalidParameter(
            "is an adapter (PEFT), which MLflow logs without its base; merge it "
            "(merge_and_unload), and log the whole model."
        )
    if not told.has_weights:
        source = f", as '{told.source}' of a hub" if told.source else ""
        raise InvalidParameter(
            "has no weights in the registry: it was logged with save_pretrained=False"
            f"{source}. Log it with save_pretrained=True."
        )


def _tasks_of(architecture: str) -> Collection[str]:
    """Return what llama.cpp does with models of an architecture, once they are converted."""
    # What does not say what it is, the launcher finds out.
    return CONVERTIBLE.get(architecture, () if architecture else TASKS)


def _check_convertible(architecture: str, task: str) -> None:
    tasks = _tasks_of(architecture)
    if not tasks:
        raise InvalidParameter(
            f"is a {architecture}, which no engine of this deployment serves: llama.cpp "
            f"serves {', '.join(CONVERTIBLE)}. Log one of these, or serve it as an external_model."
        )
    if task not in tasks:
        raise InvalidParameter(
            f"is a {architecture}, which cannot serve the task {task}; log it with "
            f"task='{min(tasks)}'."
        )
