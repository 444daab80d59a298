"""Renders the chart, by Helm itself, a library of Go that stays out of the process of the tests.

Run as a program, it takes values as JSON and answers with what they became, or, for
`make manifests`, writes the plain manifests.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "chart"
PLAIN = ROOT / "deploy" / "manifests" / "kubernetes"
LAYOUTS = ("embedded", "separate")
NAME, NAMESPACE = "modelplane", "modelplane"
IS_HERE = importlib.util.find_spec("helm_python") is not None
_HEAD = """\
# Rendered from the chart in deploy/chart by `make manifests`: change that. It expects cert-manager,
# and a secret `modelplane` with the keys database-url, admin-token and master-key:
# docs/operating/kubernetes.md.
"""

Document = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """What values became.

    Attributes:
        text: The manifests.
        error: Why there are none.
    """

    text: str = ""
    error: str = ""

    @cached_property
    def documents(self) -> list[Document]:
        """The objects, in order."""
        assert not self.error, self.error
        return [found for found in yaml.load_all(self.text, yaml.CSafeLoader) if found]


def render(cases: Mapping[str, Document]) -> dict[str, Rendered]:
    """Render the chart with each of these values; return what they became, by their names."""
    program = [sys.executable, str(Path(__file__)), "render"]
    done = subprocess.run(
        program, input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    return {name: Rendered(**found) for name, found in json.loads(done.stdout).items()}


def plain(layout: str) -> Document:
    """Return the values of the plain manifests of a layout.

    Control planes migrate by themselves: a job would have to be taken away before each upgrade.
    """
    return {
        "layout": layout,
        "secrets": {"existing": "modelplane"},
        "migration": {"enabled": False},
    }


def plain_text(rendered: Rendered) -> str:
    """Return a file of plain manifests, in which nothing is Helm's."""
    assert not rendered.error, rendered.error
    lines = rendered.text.splitlines()
    kept = [line for line in lines if "helm.sh/" not in line and "managed-by: Helm" not in line]
    return _HEAD + "\n".join(kept) + "\n"


def _rendered(values: Document) -> Document:
    import helm_python  # noqa: PLC0415 - not on all machines

    with helm_python.Chart.load(str(CHART)) as chart:
        try:
            # Rendering alone does not look at the schema, as `helm template` does.
            chart.validate_schema(values)
            found = chart.render(values, name=NAME, namespace=NAMESPACE)
        except helm_python.HelmError as error:
            return {"error": str(error)}
    texts = [text.strip() for name, text in sorted(found.items()) if name.endswith(".yaml")]
    objects = [part.strip() for text in texts for part in f"\n{text}\n".split("\n---\n")]
    return {"text": "---\n" + "\n---\n".join(part for part in objects if part) + "\n"}


def _main() -> None:
    if sys.argv[1] == "render":
        cases = json.load(sys.stdin)
        sys.stdout.write(json.dumps({name: _rendered(values) for name, values in cases.items()}))
        return
    for layout, found in render({layout: plain(layout) for layout in LAYOUTS}).items():
        (PLAIN / layout / "modelplane.yaml").write_text(plain_text(found))


if __name__ == "__main__":
    _main()
