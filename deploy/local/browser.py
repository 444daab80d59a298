"""Opens the user interface in the browser of whoever runs `modelplane up --open`.

Used by `supervisor.py`.
"""

import sys
import webbrowser
from collections.abc import Mapping

from modelplane.adapters.shared.settings import environment
from modelplane.control_plane.ui.assets import PAGE, STATIC

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")


def open_pages(url: str) -> str:
    """Open the pages; return a line for the user if that cannot be done, else an empty text.

    It takes as long as the program that opens them.

    Args:
        url: Address of the public port.
    """
    if not (STATIC / PAGE).exists():
        return "no browser is opened, as the pages are not built: say `make ui`"
    if not _has_screen(environment()):
        return f"there is no screen to open a browser on: see {url}/ui/ from where there is one"
    try:
        opened = webbrowser.open(f"{url}/ui/")
    except webbrowser.Error:
        opened = False
    return "" if opened else f"no browser could be opened: see {url}/ui/"


def _has_screen(environ: Mapping[str, str]) -> bool:
    """Tell whether a browser has a window: one in the terminal would hide what is said there."""
    if sys.platform == "darwin" or environ.get("BROWSER"):
        return True
    return any(environ.get(name) for name in _SCREENS)
