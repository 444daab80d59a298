"""A package that is fetched for its files alone: no program of it runs, and what it needs stays.

By uv, as all packages, from where the operator has packages come from. Used by `../supplies.py` for
weights that a package has.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import uv

from modelplane.launcher.environments.build import Program, run_here
from modelplane.launcher.environments.failures import EnvironmentFailed, explain
from modelplane.launcher.environments.index import NO_INDEX, read_index, without_credentials

_REQUIREMENTS = "wheel.txt"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package of one version.

    Attributes:
        name: Its name.
        version: Its version.
        sha256: Digest of its file, in hexadecimal.
    """

    name: str
    version: str
    sha256: str


async def unpack_wheel(wheel: Wheel, into: Path, environ: Mapping[str, str]) -> None:
    """Fetch a package, and unpack it into an empty directory.

    Args:
        wheel: The package.
        into: The directory.
        environ: Variables of this process.

    Raises:
        EnvironmentFailed: It cannot be had, or is another one.
    """
    wanted = into / _REQUIREMENTS
    wanted.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    index = await read_index(environ)
    # Of versions: this one is named, and nothing else is installed.
    index.pop("UV_CONSTRAINT", None)
    command = [
        *(uv.find_uv_bin(), "--no-progress", "--color", "never", "--no-cache"),
        *("pip", "install", "--no-deps", "--no-build", "--require-hashes"),
        *("--python", sys.executable, "--target", str(into), "--requirements", str(wanted)),
    ]
    if index.get(NO_INDEX, "0") not in {"", "0", "false"}:
        command.append("--no-index")
    said: list[str] = []
    variables = {**index, "HOME": str(into), "TMPDIR": str(into)}
    status = await run_here(Program(command, variables, (into,)), said.append)
    if status:
        raise EnvironmentFailed(explain(without_credentials("\n".join(said))))
