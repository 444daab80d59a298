"""How what is there differs from what is declared: pure.

Before: the modules of `kinds`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# What tells the entries of a list apart, whatever their order.
_NAMES = ("name", "served_entity_name", "key")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not as declared; None: there is none."""

    path: str
    old: Any
    new: Any

    def text(self) -> str:
        """Return it on one line."""
        if self.old is None:
            return f"+ {self.path}: {json.dumps(self.new)}"
        if self.new is None:
            return f"- {self.path}: {json.dumps(self.old)}"
        return f"~ {self.path}: {json.dumps(self.old)} -> {json.dumps(self.new)}"


def compare(path: str, old: Any, new: Any) -> Iterator[Difference]:  # noqa: ANN401 - JSON
    """Yield the differences between two JSON values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in (*old, *(name for name in new if name not in old)):
            inner = f"{path}.{name}" if path else str(name)
            yield from compare(inner, old.get(name, _MISSING), new.get(name, _MISSING))
    elif (pairs := _paired(old, new)) is not None:
        for label, one, other in pairs:
            yield from compare(f"{path}[{label}]", one, other)
    elif old != new:
        yield Difference(path, None if old is _MISSING else old, None if new is _MISSING else new)


def pruned(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return JSON without members that say nothing: null, "", {} and []."""
    if isinstance(value, Mapping):
        inner = {name: pruned(one) for name, one in value.items()}
        return {name: one for name, one in inner.items() if not _says_nothing(one)}
    if isinstance(value, list):
        return [pruned(one) for one in value]
    return value


def _says_nothing(value: object) -> bool:
    return value is None or value in ("", {}, [])


def _paired(old: Any, new: Any) -> list[tuple[str, Any, Any]] | None:  # noqa: ANN401 - JSON
    """Return the entries of two lists by their names; None where they have none."""
    if not (isinstance(old, list) and isinstance(new, list)):
        return None
    for name in _NAMES:
        ones, others = _by(old, name), _by(new, name)
        if ones is not None and others is not None:
            labels = (*ones, *(label for label in others if label not in ones))
            return [
                (label, ones.get(label, _MISSING), others.get(label, _MISSING)) for label in labels
            ]
    return None


def _by(entries: list[Any], name: str) -> dict[str, Any] | None:
    """Return entries by a member that tells them apart; None where it does not."""
    if not all(isinstance(entry, Mapping) and name in entry for entry in entries):
        return None
    found = {str(entry[name]): entry for entry in entries}
    return found if len(found) == len(entries) else None
