"""Prints what an image holds, as a bill of materials in CycloneDX's form.

Of the Python packages beside it, and of Debian's where there are any. `build.sh` runs it with the
Python of the image, which has nothing else. https://cyclonedx.org/docs/1.5/json/
"""

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

_DEBIAN = Path("/var/lib/dpkg/status")
_FIELD = re.compile(r"^(Package|Status|Version|Architecture): (.+)$", re.MULTILINE)
Component = dict[str, object]


def main() -> int:
    """Print it; return the exit status."""
    components = [*_python(), *_debian(_DEBIAN)]
    [version] = [one["version"] for one in components if one["name"] == "modelplane"] or [""]
    itself = {"type": "application", "name": "modelplane", "version": version}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": itself},
        "components": components,
    }
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return 0


def _python() -> Iterator[Component]:
    for one in sorted(distributions(), key=lambda found: found.name.lower()):
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        found: Component = {"type": "library", "name": name, "version": one.version}
        if licence := _licence(one):
            found["licenses"] = [{"license": {"name": licence}}]
        yield {**found, "purl": f"pkg:pypi/{name}@{one.version}"}


def _licence(one: Distribution) -> str:
    # The text of a licence may stand there: its first line names it.
    said = one.metadata.json
    return (
        str(said.get("license_expression") or said.get("license") or "")
        .strip()
        .partition("\n")[0][:100]
    )


def _debian(status: Path) -> Iterator[Component]:
    if not status.exists():
        return
    for paragraph in status.read_text().split("\n\n"):
        fields = dict(
            re.findall(r"^(Package|Status|Version|Architecture): (.+)$", paragraph, re.MULTILINE)
        )
        if fields.get("Status", "").endswith(" installed"):
            name, version = fields["Package"], fields["Version"]
            purl = f"pkg:deb/debian/{name}@{version}?arch={fields['Architecture']}"
            yield {"type": "library", "name": name, "version": version, "purl": purl}


if __name__ == "__main__":
    sys.exit(main())
