"""Numbers of bytes, as people write and read them: units are powers of 1024."""

import re

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024
_COUNT = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
# More than any machine has, and less than an int64 holds.
_MOST = 1 << 60


def parse_bytes(text: str) -> int:
    """Return the bytes that a text as `16GiB` or `512m` means.

    Raises:
        ValueError: It means none.
    """
    found = _COUNT.fullmatch(text.strip())
    count = int(float(found[1]) * _STEP ** " kmgt".index(found[2].lower() or " ")) if found else -1
    if not 0 <= count <= _MOST:
        raise ValueError(f"{text[:100]!r} is no number of bytes; write it as 16GiB or 512MiB")
    return count


def in_words(count: float) -> str:
    """Return a number of bytes as a person writes it."""
    unit = 0
    while count >= _STEP and unit < len(_UNITS) - 1:
        count /= _STEP
        unit += 1
    return f"{count:.1f} {_UNITS[unit]}" if unit else f"{count:g} bytes"
