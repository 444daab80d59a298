"""Names that stand for what was found in a request, and are replaced again in its answer; pure.

A pseudonym follows from the value and a key of the endpoint alone, so that a conversation which is
sent again has the same ones and nothing is stored: which value each stands for is known while the
call lasts, whose request has the values.
"""

import base64
import hmac
import re
from hashlib import sha256

# `<EMAIL_ADDRESS_k3f9q2ab>`; what is in the brackets has no character that JSON escapes.
_FORM = re.compile(r"<[A-Z][A-Z0-9_]{0,63}_[a-z2-7]+>")
_SHORT, _LONG = 8, 32
# What may become one: held back where a stream stops.
_OPEN = re.compile(r"<(?:[A-Z][A-Z0-9_]{0,96}(?:_[a-z2-7]{0,32})?)?\Z")


class Pseudonyms:
    """Those of one call."""

    __slots__ = ("_key", "_names", "_values")

    def __init__(self, key: bytes) -> None:
        """Start with none; `key`: the endpoint's."""
        self._key = key
        self._values: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}

    def __bool__(self) -> bool:
        """Tell whether any has been given."""
        return bool(self._values)

    def name(self, entity: str, value: str) -> str:
        """Return the pseudonym of a value.

        Args:
            entity: What it is.
            value: The text that was found.
        """
        known = self._names.get((entity, value))
        if known is not None:
            return known
        digest = hmac.digest(self._key, f"{entity}\0{value}".encode(errors="replace"), sha256)
        text = base64.b32encode(digest).decode().lower()
        name = f"<{entity}_{text[:_SHORT]}>"
        if name in self._values:
            name = f"<{entity}_{text[:_LONG]}>"
        self._names[entity, value] = name
        self._values[name] = value
        return name

    def restore(self, text: str) -> str:
        """Return a text with values in place of the pseudonyms of this call; others stay."""
        if "<" not in text:
            return text
        return _FORM.sub(lambda match: self._values.get(match[0], match[0]), text)


class Restorer:
    """Restores a text that comes in pieces."""

    __slots__ = ("_held", "_pseudonyms")

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        """Start before a text."""
        self._pseudonyms = pseudonyms
        self._held = ""

    def feed(self, text: str, *, final: bool = False) -> str:
        """Return what of the text may leave by now; `final`: it is the last piece."""
        given = self._held + text
        start = len(given)
        if not final and (match := _OPEN.search(given)):
            start = match.start()
        self._held = given[start:]
        return self._pseudonyms.restore(given[:start])
