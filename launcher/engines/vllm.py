"""Language models as transformers saves them, by the operator's vLLM in an environment of its own.

Its arguments: https://docs.vllm.ai/en/stable/cli/serve/. A build of vLLM is for GPUs or for
processors, and says which by its version or its name.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelserving.launcher.v1.launcher_service_pb2 import GroupSpec

from modelplane.launcher.confined.views import parts_of_python
from modelplane.launcher.conversions.folder import ModelUnfit, TransformersFolder, read_folder
from modelplane.launcher.engines.base import Converting, EngineUnfit, Log, Prepared

NAME = "vllm"
_EMBEDDINGS = "llm/v1/embeddings"
_GIB = 1 << 30
# Its processes talk through it, in queues that have 240 MiB each, if hardly any of it is used.
SHARED_BYTES = _GIB
# Of what a replica on processors may use: keys and values of what it has read.
_CACHE_SHARE = 4
# Replicas have their GPUs to themselves.
_GPU_SHARE = "0.9"
_BUILD = re.compile(
    r"vllm(?P<cpu>_cpu)?-(?P<version>\d+(\.\d+)*)[^+]*(?P<local>\+\w+)?.*\.dist-info"
)
_OLDEST = (0, 32)
# A name that never is one (RFC 6761).
_NO_HOST = "none.invalid"
_VARIABLES = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    # What `model_server.sampling` lets pass.
    "VLLM_MAX_STOP_STRINGS": "16",
    # Of its own sockets, whose paths may have 107 characters: below the replica's directory.
    "VLLM_RPC_BASE_PATH": "tmp",
}


class Vllm:
    """Serves models by the vLLM of an environment.

    Args:
        folder: The environment's folder.

    Raises:
        ValueError: It has no vLLM, or too old a one.

    Attributes:
        with_gpus: Whether it serves on GPUs.
        without_gpus: Whether it serves on processors.
    """

    def __init__(self, folder: Path) -> None:
        self._program = folder / "bin" / "vllm"
        self._python = folder / "bin" / "python"
        if not self._program.is_file():
            raise ValueError(f"{folder} is no environment with vLLM: it has no bin/vllm")
        self.without_gpus = _is_for_processors(folder)
        self.with_gpus = not self.without_gpus

    async def prepare(
        self, files: Path, spec: GroupSpec, log: Log, converting: Converting
    ) -> Prepared:
        """Find the parts of the model's folder, which is served as it is.

        Raises:
            EngineUnfit: It is no such model.
        """
        del converting
        try:
            found = read_folder(files)
        except ModelUnfit as error:
            raise EngineUnfit(str(error)) from error
        command = [str(self._program), "serve", *_arguments(found, spec)]
        log("vLLM serves the model's folder as it is.")
        return Prepared(
            python=Path(sys.executable),
            model=found.weights,
            told=(*(("--tools",) if found.tool_parser else ()), "--child", *command),
            needs=(files, *parts_of_python(self._python)),
            shared_bytes=SHARED_BYTES,
        )

    def options(self, spec: GroupSpec) -> Sequence[str]:
        """Return what the server is told of the model."""
        options = spec.engine_options
        return (
            *("--engine", NAME),
            f"--name={spec.model.name}",
            *("--task", options.task),
            *("--context-tokens", str(options.context_tokens)),
            *("--dimensions", str(options.dimensions)),
        )

    def variables(self, spec: GroupSpec) -> Mapping[str, str]:
        """Return those that keep vLLM to itself, and to its part of the machine."""
        if spec.size.gpus:
            return _VARIABLES
        cache = max(1, spec.size.memory_bytes // _GIB // _CACHE_SHARE)
        return {
            **_VARIABLES,
            "VLLM_CPU_KVCACHE_SPACE": str(cache),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            # What it compiles all the same costs the first caller who wants probabilities a minute,
            # or, where there is no compiler, the engine.
            "TORCH_COMPILE_DISABLE": "1",
        }


def _arguments(found: TransformersFolder, spec: GroupSpec) -> Sequence[str]:
    """Return the arguments of `vllm serve`."""
    options, size = spec.engine_options, spec.size
    told = [
        str(found.weights),
        *("--tokenizer", str(found.tokenizer)),
        f"--served-model-name={spec.model.name}",
        *("--max-num-seqs", str(size.concurrency)),
        "--enable-prompt-tokens-details",
        "--disable-uvicorn-access-log",
        # Callers of models that see pictures would have it ask any address that it can reach.
        *("--allowed-media-domains", _NO_HOST),
    ]
    if options.context_tokens:
        told += ["--max-model-len", str(options.context_tokens)]
    if size.gpus:
        told += ["--tensor-parallel-size", str(size.gpus)]
        told += ["--gpu-memory-utilization", _GPU_SHARE]
    else:
        # To compile takes longer than that saves on a processor.
        told.append("--enforce-eager")
    if options.task == _EMBEDDINGS:
        pooler = {"pooling_type": found.pooling.upper(), "use_activation": not options.unnormalized}
        told += ["--runner", "pooling", "--pooler-config", json.dumps(pooler)]
    if found.tool_parser:
        told += ["--enable-auto-tool-choice", "--tool-call-parser", found.tool_parser]
    return told


def _is_for_processors(folder: Path) -> bool:
    """Tell for which machines an environment's vLLM was built: processors, or GPUs.

    Raises:
        ValueError: It is not there, or of an older release than what is asked here.
    """
    for place in sorted(folder.glob("lib/python*/site-packages/vllm*.dist-info")):
        if not (found := _BUILD.fullmatch(place.name)):
            continue
        version = tuple(map(int, found["version"].split(".")))
        if version < _OLDEST:
            oldest = ".".join(map(str, _OLDEST))
            raise ValueError(f"{folder} has vLLM {found['version']}; it must be {oldest} or newer")
        return bool(found["cpu"]) or found["local"] == "+cpu"
    raise ValueError(f"{folder} is no environment with vLLM: it has no package of that name")
