"""Which endpoint a client means by a model's name: pure. Used by `invocation.py`.

Agents write names in their own way: with a mark for the size of the context, with the date of a
release, or as the mirrored product names its own models.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TypeVar

_Found = TypeVar("_Found")
# Claude Code's mark for a long context.
_MARK = re.compile(r"\[[^\]]*\]$")
_PREFIXES = ("models/", "system.ai.", "databricks-")
_DATE = re.compile(r"-20\d{6}$")


def resolve(names: Mapping[str, _Found], name: str) -> _Found | None:
    """Return what has a name, or the one that comes nearest to it; None: nothing does."""
    found = names.get(name)
    if found is not None:
        return found
    for candidate in _readings(name):
        found = names.get(candidate)
        if found is not None:
            return found
    return None


def _readings(name: str) -> Iterator[str]:
    """Yield what else a name may mean, the more likely first."""
    name = _MARK.sub("", name)
    yield name
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            name = name.removeprefix(prefix)
            yield name
    undated = _DATE.sub("", name)
    if undated != name:
        yield undated
    for candidate in dict.fromkeys((name, undated)):
        yield f"databricks-{candidate}"
        # An entity's name may have these where its endpoint's has hyphens.
        yield f"databricks-{candidate.replace('_', '-')}"
