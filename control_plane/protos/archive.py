"""The protos of the API in one archive, which needs nothing else to be compiled.

Before: `proto_servicer`, and `make release`, which puts it beside the wheel.
"""

import io
import sys
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

_SUFFIX = ".proto"
# The earliest that a ZIP archive can say: the same protos are the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_FOLDERS = ("modelserving/v1", "google/api")
# What the protos import of the second folder, and what that imports.
_IMPORTED = ("annotations", "field_behavior", "http", "httpbody")


def build_archive() -> bytes:
    """Return the archive: include its root when compiling."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(_protos()):
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, zipfile.ZIP_DEFLATED)
    return held.getvalue()


def _protos() -> Iterator[tuple[str, bytes]]:
    ours, googles = _FOLDERS
    for file in files("modelserving.v1").iterdir():
        if file.name.endswith(_SUFFIX):
            yield f"{ours}/{file.name}", file.read_bytes()
    api: Traversable = files("google.api")
    for name in _IMPORTED:
        yield f"{googles}/{name}{_SUFFIX}", (api / f"{name}{_SUFFIX}").read_bytes()


def main(directory: str) -> None:
    """Write the archive beside a wheel, with the wheel's version in its name."""
    [wheel] = Path(directory).glob("modelplane-*.whl")
    version = wheel.name.split("-")[1]
    (wheel.parent / f"modelplane-protos-{version}.zip").write_bytes(build_archive())


if __name__ == "__main__":
    main(sys.argv[1])
