"""Which engine serves a model, and why none does. Pure.

A model that was logged by `mlflow.transformers` with one of the tasks `llm/v1/…` is never served as
a Python function: without batches, streams and probabilities it would not be what the task
promises. Before: `pinning`.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from modelplane.adapters.registries.mlmodel import MlModel
from modelplane.control_plane.errors import InvalidParameter

PYFUNC = "mlflow_pyfunc"
LLAMA_CPP = "llama_cpp"
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


def choose_engine(model: MlModel, engines: Collection[str]) -> str:
    """Return the engine that serves a model.

    Args:
        model: What its `MLmodel` file says.
        engines: Those that the deployment has, beside the one for Python functions.

    Raises:
        InvalidParameter: None does; the text goes on after "model 'NAME' …".
    """
    if model.is_gguf and LLAMA_CPP in engines:
        return LLAMA_CPP
    if model.is_language_model:
        return _for_language(model, engines)
    if model.entrypoint:
        raise InvalidParameter(
            "asks to be served by a command of its own (metadata.entrypoint), which is not "
            "available in this release; log it as a Python function."
        )
    if not model.is_python_function:
        flavors = ", ".join(model.description.flavors)
        raise InvalidParameter(
            f"has the flavors {flavors}, and not python_function, which is the one that is served; "
            "log it with that."
        )
    return PYFUNC


def _for_language(model: MlModel, engines: Collection[str]) -> str:
    task, told = model.description.task, model.transformer
    if not engines:
        raise InvalidParameter(
            f"is a language model (task {task}), which an engine would have to serve; this "
            "deployment has none. Log it as a Python function of your own, or serve it as an "
            "external_model."
        )
    if task not in TASKS:
        raise InvalidParameter(
            f"has the task {task}, which no engine serves; log it with one of {', '.join(TASKS)}."
        )
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
    # What does not say what it is, the launcher finds out.
    tasks = CONVERTIBLE.get(told.architecture, TASKS if not told.architecture else ())
    if not tasks:
        raise InvalidParameter(
            f"is a {told.architecture}, which no engine of this deployment serves: llama.cpp "
            f"serves {', '.join(CONVERTIBLE)}. Log one of these, or serve it as an external_model."
        )
    if task not in tasks:
        raise InvalidParameter(
            f"is a {told.architecture}, which cannot serve the task {task}; log it with "
            f"task='{min(tasks)}'."
        )
    return LLAMA_CPP
