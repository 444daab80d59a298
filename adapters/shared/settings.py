"""Settings from flags and environment: one frozen dataclass per process, one line per setting.

A field `worker_listen` is the flag `--worker-listen` and the variable `MODELPLANE_WORKER_LISTEN`;
the flag wins. The planes' `settings.py` declare the fields and are the only callers.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def setting(default: Any, help_text: str, *, secret: bool = False, alias: str = "") -> Any:  # noqa: ANN401 - like field()
    """Declare a setting; its type is that of `default`, and `str` when `default` is None.

    Args:
        default: Value when neither flag nor variable is given.
        help_text: What the setting does, with its unit.
        secret: Keep the value out of the dataclass's repr, and take it from the environment only,
            since flags can be read by every user of the machine.
        alias: A second, shorter flag.
    """
    metadata = {"help": help_text, "secret": secret, "alias": alias}
    return field(default=default, repr=not secret, metadata=metadata)


def load(cls: type[T], program: str, argv: Sequence[str], environ: Mapping[str, str]) -> T:
    """Return an instance of the settings dataclass `cls`.

    Raises:
        SystemExit: A flag or variable is unknown or has the wrong form; the reason is printed.
    """
    parser = argparse.ArgumentParser(prog=program, description=cls.__doc__)
    values: dict[str, Any] = {}
    for item in fields(cls):  # type: ignore[arg-type]
        variable = variable_name(item.name)
        convert = str if item.default in (None, MISSING) else type(item.default)
        if variable in environ:
            values[item.name] = _convert(parser, variable, convert, environ[variable])
        if not item.metadata["secret"]:
            flags = ("--" + item.name.replace("_", "-"), item.metadata["alias"])
            parser.add_argument(
                *filter(None, flags),
                dest=item.name,
                type=convert,
                default=argparse.SUPPRESS,
                help=f"{item.metadata['help']} [{variable}, default: {item.default}]",
            )
    return cls(**values | vars(parser.parse_args(argv)))


def variable_name(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return "MODELPLANE_" + name.upper()


def environment() -> Mapping[str, str]:
    """Return the process's environment."""
    return os.environ  # noqa: TID251 - this is where settings are read


def _convert(parser: argparse.ArgumentParser, variable: str, convert: type, text: str) -> Any:  # noqa: ANN401 - any of the setting types
    try:
        return convert(text)
    except ValueError:
        parser.error(f"{variable} must be a {convert.__name__}, not {text!r}")
