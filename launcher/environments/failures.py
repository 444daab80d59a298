"""What went wrong in a build, in words for whoever wants to serve the model.

uv says it in many lines, which are in the build log; here is the one sentence that matters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


class EnvironmentFailed(Exception):
    """An environment cannot be had; the text says why, for the model's owner."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What uv's words mean.

    Attributes:
        pattern: What uv, or what it ran, has said.
        reason: What that means; may name groups of the pattern.
    """

    pattern: re.Pattern[str]
    reason: str


def _cause(pattern: str, reason: str) -> Cause:
    return Cause(re.compile(pattern, re.IGNORECASE | re.DOTALL), reason)


# The first that fits.
CAUSES: Sequence[Cause] = (
    _cause(
        r"No space left on device|os error 28|Disk quota exceeded|os error 122",
        "The disk is full: [Errno 28] No space left on device.",
    ),
    _cause(
        r"File too large|os error 27",
        "A file of a package is larger than a build may write.",
    ),
    _cause(
        r"(401 Unauthorized|403 Forbidden|status: 401|status: 403)",
        "The package index refuses the operator's credentials ({0}).",
    ),
    _cause(
        r"invalid peer certificate|certificate verify failed|UnknownIssuer",
        "The package index's certificate is not trusted on this machine.",
    ),
    _cause(
        r"dns error|failed to lookup address|error sending request|tcp connect error"
        r"|connection refused|connection reset|operation timed out|timed out while"
        r"|network is unreachable|error decoding response body"
        r"|(?:status|error)[^\n]{0,40}\b50[0234]\b",
        "The package index cannot be reached.",
    ),
    _cause(
        r"network was disabled|network connectivity is disabled",
        "A package is not on this machine, and the operator's settings switch fetching off.",
    ),
    _cause(
        r"Because ([\w.\[\]-]+) was not found in the (?:package registry|cache|provided package)",
        "There is no package named {1}.",
    ),
    _cause(
        r"there (?:is|are) no versions? of ([^\n]+?)(?: and | we can|,)",
        "There is no version of {1} that fits.",
    ),
    _cause(
        r"(?<![\w.-])([\w.-]+(?:[=<>~!]=?[\w.]+)?) has no wheels with a matching",
        "There is no build of {1} for this Python and machine.",
    ),
    _cause(
        r"fatal error: ([\w./+-]+\.h\w*): No such file",
        "A package has to be compiled and needs a system library that is missing: its header {1} "
        "is not on this machine.",
    ),
    _cause(
        r"(?:command|program) '?(gcc|g\+\+|cc|c\+\+|clang|x86_64-linux-gnu-gcc|cmake|ninja|rustc"
        r"|cargo|gfortran|nvcc|pg_config|mysql_config|pkg-config|swig)'? (?:failed: No such file"
        r"|not found|is not installed)|(?:No such file or directory: |unable to find |could not "
        r"find |can't find )'?(gcc|g\+\+|cc|cmake|ninja|rustc|cargo|pg_config|pkg-config|swig)\b"
        r"|(pg_config|mysql_config) executable not found|(Rust) (?:compiler|toolchain)",
        "A package has to be compiled and needs a tool that is not on this machine: {found}.",
    ),
    _cause(
        r"Failed to build [`']?([\w.-]+(?:==[\w.]+)?)",
        "The package {1} has to be built from its sources, which failed: as a rule a tool or a "
        "system library is missing; the build log says which.",
    ),
    _cause(
        r"(?:hash mismatch|Failed to (?:extract|unzip|parse))[^\n]*",
        "A package is damaged: {0}.",
    ),
    _cause(
        r"No solution found when resolving[^\n]*\n(?:\s*cause:)?(.+)",
        "The requirements contradict each other: {1}",
    ),
    _cause(
        r"(?:Couldn't parse|Expected|Unsupported) [^\n]*requirement[^\n]*",
        "A requirement cannot be read: {0}.",
    ),
)
_MOST_CHARACTERS = 600


def explain(said: str) -> str:
    """Return in words why a build failed.

    Args:
        said: What uv has said at the end.
    """
    plain = re.sub(r"[\u00d7\u2500-\u257f\u25b6]+", " ", said)
    for cause in CAUSES:
        if found := cause.pattern.search(plain):
            groups = [found[0], *found.groups()]
            name = next((group for group in groups[1:] if group), "")
            text = cause.reason.format(*(group or "" for group in groups), found=name)
            return " ".join(text.split())[:_MOST_CHARACTERS]
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    return f"The installation failed: {' '.join(lines[-3:])}"[:_MOST_CHARACTERS]
