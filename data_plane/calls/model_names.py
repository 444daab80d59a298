"""Which endpoint a client means by a model's name: pure. Used by `invocation.py`.

Agents write names in their own way: with a mark for the size of the context, with the date of a
release, or as the mirrored product names its own models.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import TypeVar

_Found = TypeVar("_Found")
# Claude Code's mark for a long context.
_MARK = re.compile(r"\[[^\]]*\]$")
_PREFIXES = ("models/", "system.ai.", "databricks-")
# No endpoint has a longer name or alias, and readings take a time that grows with the square of it.
_LONGEST = 300
# To compare more would take longer than a refusal may.
_COMPARED = 100
_NEAREST = 3
_DATE = re.compile(r"-20\d{6}$")


def resolve(names: Mapping[str, _Found], aliases: Mapping[str, _Found], name: str) -> _Found | None:
    """Return what has a name, or the one that comes nearest to it; None: nothing does.

    Args:
        names: What there is by its own name, which goes before an alias however it is written.
        aliases: The same by further names.
        name: What a client asks for.
    """
    found = names.get(name)
    if found is not None or len(name) > _LONGEST:
        return found
    readings = tuple(_readings(name))
    for known in (names, aliases):
        for candidate in readings:
            found = known.get(candidate)
            if found is not None:
                return found
    return None


def nearest(names: Iterable[str], name: str) -> list[str]:
    """Return the few names that are most like one, the nearest first."""
    if len(name) > _LONGEST:
        return []
    return get_close_matches(name, islice(names, _COMPARED), _NEAREST)


def _readings(name: str) -> Iterator[str]:
    """Yield what a name may mean, the more likely first."""
    yield name
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
