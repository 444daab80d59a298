"""Makes `python -m modelplane` the same as the `modelplane` command."""

import sys

from modelplane.deploy.command.cli import main

if __name__ == "__main__":
    sys.exit(main())
