"""The command `modelplane restore`; `backup` has both ways."""

import sys

from modelplane.control_plane.backup import main_restore as main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
