"""Where packages come from: by the operator's settings of uv, and of pip, which uv does not read.

Nothing of this is ours to decide or to keep: it is read when an environment is built.
"""

import asyncio
import os
import re
import sys
from collections.abc import Mapping

# uv has a flag for it and no variable: this one is ours, named like those of uv.
NO_INDEX = "UV_NO_INDEX"
# What uv, and what builds a package, may know of this process's environment: no credentials but
# those of package indexes.
_PASSED = re.compile(
    r"UV_\w+|SSL_CERT_(FILE|DIR)|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|PATH|LANG|LC_\w+|TZ"
    r"|NETRC|CC|CXX|CFLAGS|CXXFLAGS|LDFLAGS|CUDA_HOME|OPENBLAS_\w+"
)
_OURS = {
    "UV_CACHE_DIR",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_CONFIG_FILE",
    "UV_SYSTEM_PYTHON",
}
_FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "constraint": "UV_CONSTRAINT",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "no-index": NO_INDEX,
}
# Separated by commas in uv's variables, by blanks in pip's.
_WITH_COMMAS = {"UV_FIND_LINKS"}
_LINE = re.compile(r"(?P<where>[^.]+)\.(?P<key>[\w-]+)='(?P<value>.*)'")
# Which of pip's settings win: those further back.
_WHERE = ("global", "user", "site", "install", ":env:")
_ASK_SECONDS = 30.0
# Begun where a word begins: a long one would be searched once for each of its letters.
_CREDENTIALS = re.compile(r"(?<![a-z0-9+.-])([a-z0-9+.-]+://)[^/@\s]*@", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """Return a text without the users and passwords of URLs in it."""
    return _CREDENTIALS.sub(r"\1***@", text)


async def read_index(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which uv finds packages as the operator has set it up.

    Args:
        environ: Variables of this process.
    """
    passed = {name: value for name, value in environ.items() if _PASSED.fullmatch(name)}
    of_pip = translate(await _ask_pip(environ))
    kept = {name: value for name, value in passed.items() if name not in _OURS}
    return {**of_pip, "PATH": os.defpath, **kept}


def translate(listed: str) -> dict[str, str]:
    """Return uv's variables for what `pip config list` says.

    Args:
        listed: Lines as `global.index-url='...'`.
    """
    found: dict[str, tuple[int, str]] = {}
    for match in filter(None, map(_LINE.fullmatch, listed.splitlines())):
        name = _FROM_PIP.get(match["key"])
        if name is None or match["where"] not in _WHERE:
            continue
        value = match["value"].replace("\\n", " ").split()
        rank = _WHERE.index(match["where"])
        if value and rank >= found.get(name, (-1, ""))[0]:
            found[name] = rank, ("," if name in _WITH_COMMAS else " ").join(value)
    variables = {name: value for name, (_, value) in found.items()}
    if "UV_INDEX" in variables:
        # pip takes the best version of all indexes; uv, by itself, the first index that has any.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return variables


async def _ask_pip(environ: Mapping[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "pip", "config", "list"),
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            said, _ = await process.communicate()
    except TimeoutError:
        return ""
    finally:
        if process.returncode is None:
            process.kill()
    return said.decode(errors="replace")
