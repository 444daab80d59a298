"""Names of tools, and ids of their calls, in the forms that services take.

`messages.py` reads the messages that repeat them; `refusals.py` has the rules of each service.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from modelplane.adapters.providers.types import JsonObject


@dataclass(frozen=True, slots=True)
class NameRules:
    """Which names of tools, or ids of their calls, a service takes.

    Attributes:
        source: Who says so.
        legal: Matches one character that it takes.
        longest: Length of the longest.
        first: Matches a first character that it takes; None: any legal one. Must match `_`.
    """

    source: str
    legal: re.Pattern[str]
    longest: int = 64
    first: re.Pattern[str] | None = None

    def take(self, name: str) -> bool:
        """Return whether the service takes a name."""
        begins = self.first is None or self.first.match(name) is not None
        return 0 < len(name) <= self.longest and begins and all(map(self.legal.fullmatch, name))


class ToolNames:
    """Names of tools in a form that a provider accepts, and back again.

    Names that fit stay as they are. Any other gets its illegal characters replaced and a digest
    at its end, so that two names never meet, and the same name is always written the same way.
    """

    __slots__ = ("_original", "_rules")

    def __init__(self, names: Iterable[str], rules: NameRules) -> None:
        """Prepare for the tools of one query.

        Args:
            names: Names of the tools that an answer may call.
            rules: Which names the provider takes.
        """
        self._rules = rules
        self._original = {self.encode(name): name for name in names}

    @property
    def renamed(self) -> bool:
        """Whether any of the names does not fit."""
        return any(wire != name for wire, name in self._original.items())

    def encode(self, name: str) -> str:
        """Return the provider's form of a name."""
        rules = self._rules
        if rules.take(name):
            return name
        cleaned = "".join(char if rules.legal.fullmatch(char) else "_" for char in name)
        if rules.first and not rules.first.match(cleaned):
            cleaned = f"_{cleaned}"
        digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
        return f"{cleaned[: rules.longest - 9]}_{digest}"

    def decode(self, name: str) -> str:
        """Return the caller's form of a name that the provider sent."""
        return self._original.get(name, name)


def read_tool_names(body: JsonObject) -> list[str]:
    """Return the names of the functions in `tools`; what cannot be read is left out."""
    tools = body.get("tools")
    names = []
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str):
            names.append(name)
    return names
