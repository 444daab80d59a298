"""Makes `python -m deploy` the same as the `modelplane` command."""

import sys

from deploy.cli import main

if __name__ == "__main__":
    sys.exit(main())
