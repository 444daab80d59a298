"""Language models in GGUF, by llama.cpp in the process of the replica (package `xllamacpp`).

Its threads are told not to spin while they wait: beside one busy processor, two that spin give a
ninth of the tokens.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from modelserving.launcher.v1.launcher_service_pb2 import GroupSpec

from modelplane.launcher.engines.base import Converting, EngineUnfit, Log, Prepared

NAME = "llama_cpp"
PACKAGE = "xllamacpp"
DEFAULT_CONTEXT_TOKENS = 4096
_SUFFIX = ".gguf"
_VARIABLES = MappingProxyType({"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"})

# Returns a folder with the model in GGUF, and what to call once it is no longer needed, given what
# `LlamaCpp.prepare` is given. Raises `EngineUnfit`.
Convert: TypeAlias = Callable[
    [Path, GroupSpec, Log, Converting], Awaitable[tuple[Path, Callable[[], None]]]
]


class LlamaCpp:
    """Serves models in GGUF.

    Args:
        convert: Makes GGUF of models that are something else; None: those are refused.
    """

    # As the package is built.
    with_gpus, without_gpus = False, True

    def __init__(self, convert: Convert | None = None) -> None:
        self._convert = convert

    async def prepare(
        self, files: Path, spec: GroupSpec, log: Log, converting: Converting
    ) -> Prepared:
        """Find the model's file, or convert it.

        Raises:
            EngineUnfit: There is none, or llama.cpp is not installed.
        """
        if find_spec(PACKAGE) is None:
            raise EngineUnfit(
                f"The launcher has no llama.cpp; let the operator install `{PACKAGE}` beside it "
                "(modelplane[model])."
            )
        python = Path(sys.executable)
        if file := find_gguf(files):
            return Prepared(python, file)
        if self._convert is None:
            raise EngineUnfit(
                "The model has no file in GGUF, which is what llama.cpp serves; convert it, and "
                "register that."
            )
        folder, release = await self._convert(files, spec, log, converting)
        file = find_gguf(folder)
        if file is None:
            release()
            raise EngineUnfit("The model's conversion has left no file in GGUF.")
        return Prepared(python, file, release)

    def options(self, spec: GroupSpec) -> Sequence[str]:
        """Return what the server is told of the model."""
        options = spec.engine_options
        context = options.context_tokens or DEFAULT_CONTEXT_TOKENS
        told = [
            *("--engine", NAME),
            *("--name", spec.model.name),
            *("--task", options.task),
            *("--context-tokens", str(context)),
            *("--threads", str(max(1, int(spec.size.cpus)))),
        ]
        if options.dimensions:
            told += ["--dimensions", str(options.dimensions)]
        return [*told, "--unnormalized"] if options.unnormalized else told

    def variables(self, spec: GroupSpec) -> Mapping[str, str]:
        """Return those that keep its threads from spinning."""
        del spec
        return _VARIABLES


def find_gguf(folder: Path) -> Path | None:
    """Return the model's file in a folder; None: it has none.

    Of a model in parts, that is the first.

    Raises:
        EngineUnfit: There are several, of which none is the only one.
    """
    found = sorted(file for file in folder.rglob(f"*{_SUFFIX}") if file.is_file())
    whole = [file for file in found if "-of-" not in file.stem or "-00001-of-" in file.stem]
    if len(whole) > 1:
        raise EngineUnfit(
            f"The model has {len(whole)} files in GGUF; register one alone, since it is not said "
            "which is to be served."
        )
    return whole[0] if whole else None
