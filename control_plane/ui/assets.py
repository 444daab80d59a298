"""The files of the user interface, held in memory.

They are read once, at the start: no request's path ever becomes the path of a file. Used by
`ui_servicer`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Where the build of the frontend puts its files; ignored by git, part of a wheel.
STATIC = Path(__file__).with_name("static")
PAGE = "index.html"
# Names of files below carry a digest of the content.
_IMMUTABLE = "assets/"
_REVALIDATED = "no-cache"
_A_YEAR = "public, max-age=31536000, immutable"
# Not left to the machine, whose tables differ.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
_UNKNOWN_TYPE = "application/octet-stream"
_NOT_BUILT = b"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>modelplane</title></head>
<body>
<h1>The user interface is not built</h1>
<p>This installation has the API alone. Build the pages with
<code>make ui</code>, and start again.</p>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent.

    Attributes:
        content: Its bytes.
        content_type: Media type.
        cache_control: How long a browser may keep it.
    """

    content: bytes
    content_type: str
    cache_control: str


def load_assets(directory: Path) -> Mapping[str, Asset]:
    """Return all files below a directory by their path there, and the page itself also as ``.

    Without a built page there is one in its place that says how to build it.
    """
    found = {
        path.relative_to(directory).as_posix(): path
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
    assets = {name: _asset(name, path.read_bytes()) for name, path in found.items()}
    page = assets.setdefault(PAGE, _asset(PAGE, _NOT_BUILT))
    return {**assets, "": page}


def _asset(name: str, content: bytes) -> Asset:
    kind = _TYPES.get(Path(name).suffix, _UNKNOWN_TYPE)
    return Asset(content, kind, _A_YEAR if name.startswith(_IMMUTABLE) else _REVALIDATED)
