"""Start serving: `ENV/bin/python -I serve.py`. Python runs this file alone, out of its package."""

import importlib
import importlib.util
import sys
from pathlib import Path

# No module of a model is called so.
_PACKAGE = "_modelplane_model_server"


def _load() -> None:
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, str(folder / "__init__.py"), submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        sys.exit("the model server's own files are missing")
    package = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _load()
    sys.exit(importlib.import_module(_PACKAGE + ".main").main(sys.argv[1:]))
