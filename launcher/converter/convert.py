"""Start converting: `ENV/bin/python -I convert.py`. Python runs this file alone."""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    # In the place of the folder itself, whose files then have one name only.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    sys.exit(
        importlib.import_module(Path(__file__).resolve().parent.name + ".main").main(sys.argv[1:])
    )
