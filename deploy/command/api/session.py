"""What a verb works with: its arguments, the deployment, and what it prints.

Before: the modules of `nouns`, `declared` and `doctor`. After: `client`, `tables`.
"""

import json
import shutil
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, TextIO

from modelplane.deploy.command.api.client import ApiClient, Json
from modelplane.deploy.command.api.places import Wanted, find_place
from modelplane.deploy.command.api.tables import Column, format_table, plain

_QUICK_SECONDS = 3.0


class Session:
    """One command that was given."""

    def __init__(
        self,
        given: Namespace,
        environ: Mapping[str, str],
        out: TextIO | None = None,
        err: TextIO | None = None,
        *,
        is_quick: bool = False,
    ) -> None:
        """Hold what the verb works with.

        Args:
            given: The arguments, parsed.
            environ: The environment.
            out: Where answers go; None: standard output.
            err: Where progress goes; None: standard error.
            is_quick: Whether somebody waits for it in the middle of a line.
        """
        self.given = given
        self.environ = environ
        self._is_quick = is_quick
        self._out = out or sys.stdout
        self._err = err or sys.stderr

    @cached_property
    def client(self) -> ApiClient:
        """The deployment that is meant.

        Raises:
            CommandFailed: There is none.
        """
        given = self.given
        wanted = Wanted(given.profile, given.url, given.data_dir)
        place = find_place(wanted, self.environ)
        return ApiClient(place, _QUICK_SECONDS) if self._is_quick else ApiClient(place)

    @property
    def is_json(self) -> bool:
        """Whether the answer is for a program."""
        return bool(self.given.output == "json")

    @property
    def width(self) -> int | None:
        """Characters of a line; None: the answer goes into a file or to a program."""
        return shutil.get_terminal_size().columns if self._out.isatty() else None

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks at standard error."""
        return self._err.isatty()

    def close(self) -> None:
        """Close the connections, if there are any."""
        if "client" in self.__dict__:
            self.client.close()

    def show(self, document: Json, text: str) -> None:
        """Print an answer: as the API gave it, or as a text for people."""
        self.write(json.dumps(document, indent=2) + "\n" if self.is_json else text)

    def show_rows(
        self, document: Json, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Print a list: as the API gave it, or as a table."""
        self.show(document, format_table(columns, rows, self.width))

    def say(self, text: str, document: Json | None = None) -> None:
        """Print what was done: a line for people, else what the API answered."""
        self.show(document or {}, text + "\n")

    def write(self, text: str) -> None:
        """Print a text as it is, at once; nothing in it steers a terminal."""
        self._out.write(plain(text) if self._out.isatty() else text)
        self._out.flush()

    def note(self, text: str) -> None:
        """Tell something beside the answer, on standard error."""
        self._err.write(plain(text) + "\n")
        self._err.flush()

    def progress(self, text: str) -> None:
        """Show what is under way in a line of its own, which the next one replaces."""
        if self.is_watched:
            width = shutil.get_terminal_size().columns - 1
            self._err.write(
                f"\r{plain(text)[:width].ljust(width)}" if text else f"\r{'':{width}}\r"
            )
            self._err.flush()
        elif text:
            self.note(text)
