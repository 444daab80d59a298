"""How many tokens a second one replica of a language model does: its chunk. Pure.

Throughput is provisioned in whole chunks. Until one was measured on the deployment's hardware it is
estimated: a model that writes reads all its weights for each token, so that memory bounds it.
Before: `pinning`, `throughput_rules`.
"""

import re
from dataclasses import dataclass
from math import floor

from modelserving.launcher.v1.launcher_service_pb2 import ReplicaSize
from modelserving.store.v1.hosting_pb2 import HostedModel

from modelplane.control_plane.hosting.engine_rules import EMBEDDINGS, LLAMA_CPP, VLLM

# Bytes of weights that a processor, and an accelerator, reads in a second, times the requests that
# share them: SmolLM2-135M with 8 bits does 80 tokens a second on one processor with four requests.
_OF_A_CPU = 1.16e10
_OF_A_GPU = 2e12
# Texts to be embedded are read many tokens at a time.
_EMBEDDING_GAIN = 10
_BYTES_PER_PARAMETER = 2
# Of a model that says nothing of its size.
_USUAL_PARAMETERS = 1e9
_PARAMETERS = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d{1,2})?)([bm])(?![a-z0-9])")
_SCALE = {"b": 1e9, "m": 1e6}
_STEP = 10
# More than any machine does; all chunks together fit into the API's 32 bits.
MAX_CHUNK = 8_000_000
# After the name of a model.
NOT_OPTIMIZABLE = (
    "is served as a Python function, or by a command; throughput is provisioned for language "
    "models that an engine serves: log it with mlflow.transformers and a task llm/v1/chat, "
    "llm/v1/completions or llm/v1/embeddings."
)
_FAMILY = re.compile(r"([A-Z][a-z]+\d*)")


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one replica does.

    Attributes:
        tokens: Tokens per second, those of prompts and those of answers.
        estimated: Whether that was not measured.
    """

    tokens: int
    estimated: bool


NO_CHUNK = Chunk(0, estimated=True)


def is_optimizable(model: HostedModel) -> bool:
    """Tell whether the throughput of a model can be provisioned: an engine serves it."""
    return model.engine in (LLAMA_CPP, VLLM)


def estimate(model: HostedModel) -> Chunk:
    """Return the chunk of a model that an engine serves, by its size and that of its replicas."""
    rate = _rate_of(model.size) / _bytes_of(model)
    if model.description.task == EMBEDDINGS:
        rate *= _EMBEDDING_GAIN
    return Chunk(round_down(rate), estimated=True)


def round_down(rate: float) -> int:
    """Return tokens per second as a chunk: whole tens, and less only where there are not ten."""
    whole = min(MAX_CHUNK, floor(rate))
    return whole - whole % _STEP if whole >= _STEP else max(1, whole)


def family_of(model: HostedModel) -> str | None:
    """Return the family of a model, for example `llama`; None: it is not known.

    It is what the model was logged as, else that of its architecture.
    """
    if model.description.family:
        return model.description.family
    found = _FAMILY.match(model.description.architecture)
    return found[1].lower() if found else None


def _rate_of(size: ReplicaSize) -> float:
    return size.gpus * _OF_A_GPU if size.gpus else size.cpus * _OF_A_CPU


def _bytes_of(model: HostedModel) -> float:
    if size := model.description.size_bytes:
        return size
    # Names usually say it, as in `llama_v3_2_1b_instruct`.
    found = _PARAMETERS.findall(re.sub(r"[_/-]", " ", model.source.name.lower()))
    parameters = max((float(number) * _SCALE[unit] for number, unit in found), default=0.0)
    return _BYTES_PER_PARAMETER * (parameters or _USUAL_PARAMETERS)
