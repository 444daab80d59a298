"""One conversion by `../converter`, within bounds: in time, in disk, in whom it runs as.

`cache.py` orders it.
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelplane.adapters.shared.byte_counts import in_words
from modelplane.launcher.confined.views import parts_of_python
from modelplane.launcher.conversions.folder import ModelUnfit, TransformersFolder
from modelplane.launcher.environments.build import Log, Program, Run, Sandbox, run_here

PROGRAM = Path(__file__).parent.parent / "converter"
FILE = "model.gguf"
_OUTPUT = "output"
# Beside the file: what the program and its libraries write meanwhile.
_SPARE_BYTES = 256 << 20
# The form's bytes for each of safetensors', at most.
_GROWTH = 1.1

# Told how much is done, and of how much.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Converter:
    """Runs the program.

    Attributes:
        python: Of its environment.
        program: Its folder, which the user that it runs as can read.
        seconds: How long it may take.
        sandbox: Whom it runs as; None: as this process.
    """

    python: Path
    program: Path
    seconds: float
    sandbox: Sandbox | None

    async def convert(
        self, folder: TransformersFolder, into: Path, progress: Progress, log: Log
    ) -> None:
        """Write the file of a model into a folder.

        Raises:
            ModelUnfit: It cannot be converted.
            EnvironmentFailed: There is no user left that could do it.
            OSError: The folder cannot be written.
        """
        needed = int(_weight_bytes(folder.weights) * _GROWTH) + _SPARE_BYTES
        free = shutil.disk_usage(into).free
        if free < needed:
            raise ModelUnfit(
                f"The launcher's disk has no room for the converted model: it needs about "
                f"{in_words(needed)}, and {in_words(free)} are free. Let the operator make some "
                "(MODELPLANE_LAUNCHER_DIR)."
            )
        output = into / _OUTPUT
        output.mkdir()
        said = _Said(progress, log)
        try:
            async with asyncio.timeout(self.seconds), self._running(output) as run:
                status = await run(self._program(folder, output), said.take)
        except TimeoutError as error:
            raise ModelUnfit(
                f"Converting the model was not done within {self.seconds:.0f} seconds."
            ) from error
        file = output / FILE
        if said.refused or status or not file.is_file():
            reason = said.refused or f"The converter ended with status {status}; see the build log."
            raise ModelUnfit(reason)
        file.rename(into / FILE)
        shutil.rmtree(output)

    @contextlib.asynccontextmanager
    async def _running(self, output: Path) -> AsyncIterator[Run]:
        if self.sandbox is None:
            yield run_here
            return
        async with self.sandbox.building(output) as run:
            yield run

    def _program(self, folder: TransformersFolder, output: Path) -> Program:
        command = [
            *(str(self.python), "-I", "-B", str(self.program / "convert.py")),
            *("--model", str(folder.weights)),
            *("--tokenizer", str(folder.tokenizer)),
            *("--into", str(output / FILE)),
            *("--task", folder.task),
            *("--pooling", folder.pooling),
        ]
        variables = {
            "HOME": str(output),
            "TMPDIR": str(output),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        needs = [*parts_of_python(self.python), self.program, folder.weights, folder.tokenizer]
        return Program(command, variables, [*needs, output])


class _Said:
    """What the program says, line by line (`../converter/main.py`)."""

    def __init__(self, progress: Progress, log: Log) -> None:
        self._progress = progress
        self._log = log
        self.refused = ""

    def take(self, line: str) -> None:
        """Take a line; what is no message of the program's is one of its Python's."""
        try:
            message: Any = json.loads(line)
        except ValueError:
            message = None
        match message:
            case {"done": int(done), "total": int(total)}:
                self._progress(done, total)
            case {"refused": str(reason)}:
                self.refused = reason
            case {"said": str(text)}:
                self._log(text)
            case _:
                self._log(line)


def _weight_bytes(weights: Path) -> int:
    return sum(path.stat().st_size for path in weights.glob("*.safetensors"))
