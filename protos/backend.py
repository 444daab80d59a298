"""Builds modelplane with hatchling, which calls `build.py`; a Python that is too old is told so.

It stands in the place of hatchling because pip downloads what a build needs before it
looks at which Python the package is for.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "modelplane needs Python 3.11 or newer, and this is Python %d.%d" % sys.version_info[:2]
    )

from hatchling.build import (
    build_editable,
    build_sdist,
    build_wheel,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]
