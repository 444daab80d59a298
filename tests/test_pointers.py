"""Do the files that a comment or a docstring points to exist?"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = [
    *(
        path
        for part in ("adapters", "control_plane", "data_plane", "deploy", "launcher")
        for path in (ROOT / part).rglob("*.py")
    ),
    *(ROOT / "protos" / "modelserving").rglob("*.proto"),
]
POINTER = re.compile(r"`([\w./-]*\w\.(?:py|proto|lua|yaml))`")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pointers_lead_to_files(module: Path) -> None:
    """A pointer is read from the module's folder, or from one that holds it."""
    pointers = POINTER.findall(module.read_text(encoding="utf-8"))
    assert [name for name in pointers if not _exists(name, module)] == []


def _exists(name: str, module: Path) -> bool:
    folders = module.relative_to(ROOT).parents
    return any((ROOT / folder / name).is_file() for folder in folders)
