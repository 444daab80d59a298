"""Settings from flags and environment: one frozen dataclass per command, one line per setting.

A field `worker_listen` is the flag `--worker-listen` and the variable `MODELPLANE_WORKER_LISTEN`;
the flag wins. The planes' `settings.py` and the commands of `deploy` declare the fields.
"""

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, field, fields
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

# A shell that asks for completions sets it (https://kislyuk.github.io/argcomplete).
COMPLETION = "_ARGCOMPLETE"

# A URL that holds one: `scheme://user:password@host`.
_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/@]*:[^/@]+@", re.IGNORECASE)
_KINDS: Mapping[type, str] = {int: "a whole number", float: "a number"}


def setting(
    default: Any,  # noqa: ANN401 - like field()
    help_text: str,
    *,
    secret: bool = False,
    alias: str = "",
    variable: bool = True,
    parse: Callable[[str], object] | None = None,
    choices: Sequence[str] = (),
) -> Any:  # noqa: ANN401 - like field()
    """Declare a setting; its type is that of `default`. A truth value is a flag without a value.

    Args:
        default: Value when neither flag nor variable is given.
        help_text: What the setting does, with its unit.
        secret: Keep the value out of the dataclass's repr, and take it from the environment only,
            since flags can be read by every user of the machine.
        alias: A second, shorter flag.
        variable: Whether it is an environment variable too.
        parse: Returns the value of a text, where its type alone does not say how; raises ValueError
            with a reason.
        choices: The only texts that are taken; those of an enumeration are known.
    """
    metadata = {
        "help": help_text,
        "secret": secret,
        "alias": alias,
        "variable": variable and not isinstance(default, bool),
        "parse": parse or type(default),
        "choices": list(type(default)) if isinstance(default, StrEnum) else list(choices),
    }
    return field(default=default, repr=not secret, metadata=metadata)


def read_environment(cls: type[T], environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of the dataclass `cls` that the environment gives, by field.

    Raises:
        ValueError: A variable has the wrong form; the text names it.
    """
    values = {}
    for item in _settings(cls):
        variable = variable_name(item.name)
        if item.metadata["variable"] and variable in environ:
            try:
                values[item.name] = _parse(item, environ[variable])
            except ValueError as error:
                raise ValueError(f"{variable}: {error}") from None
    return values


def load(cls: type[T], program: str, argv: Sequence[str], environ: Mapping[str, str]) -> T:
    """Return an instance of the settings dataclass `cls`, which may refuse values by ValueError.

    Raises:
        SystemExit: A flag or variable is unknown or has the wrong form; the reason is printed.
    """
    description = (cls.__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog=program, description=description)
    for item in _settings(cls):
        if not item.metadata["secret"]:
            _add_flag(parser, item)
    complete(parser)
    flags = vars(parser.parse_args(argv))
    try:
        return cls(**read_environment(cls, environ) | flags)
    except ValueError as error:
        parser.error(str(error))


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer a shell that asks how its line goes on, and end; return when none asks.

    Raises:
        SystemExit: A shell was answered.
    """
    if COMPLETION in environment():
        import argcomplete  # noqa: PLC0415 - a server never needs it

        # How many words of the line stand before the parser's own arguments.
        own = int(environment()[COMPLETION]) + len(parser.prog.split()) - 1
        os.environ[COMPLETION] = str(own)  # noqa: TID251 - it is read there
        argcomplete.autocomplete(parser, always_complete_options=False)


def variable_name(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return "MODELPLANE_" + name.upper()


def environment() -> Mapping[str, str]:
    """Return the process's environment."""
    return os.environ  # noqa: TID251 - this is where settings are read


def _settings(cls: type[Any]) -> list[Field[Any]]:
    return [item for item in fields(cls) if item.metadata]


def _add_flag(parser: argparse.ArgumentParser, item: Field[Any]) -> None:
    flags = ("--" + item.name.replace("_", "-"), item.metadata["alias"])
    names = [flag for flag in flags if flag]
    if isinstance(item.default, bool):
        parser.add_argument(
            *names,
            dest=item.name,
            action="store_true",
            default=argparse.SUPPRESS,
            help=_escape(item.metadata["help"]),
        )
        return
    told = [variable_name(item.name)] if item.metadata["variable"] else []
    told.append(f"default: {_format(item.default)}")
    parser.add_argument(
        *names,
        dest=item.name,
        type=partial(_parse_flag, item),
        default=argparse.SUPPRESS,
        help=_escape(f"{item.metadata['help']} [{', '.join(told)}]"),
    )


def _escape(text: str) -> str:
    # argparse would fill in what follows a "%".
    return text.replace("%", "%%")


def _parse_flag(item: Field[Any], text: str) -> object:
    if item.metadata["variable"] and _PASSWORD.match(text):
        variable = variable_name(item.name)
        raise argparse.ArgumentTypeError(
            f"whoever lists processes would see the password in it; set {variable} instead"
        )
    try:
        return _parse(item, text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parse(item: Field[Any], text: str) -> object:
    choices, parse = item.metadata["choices"], item.metadata["parse"]
    if choices and text not in choices:
        raise ValueError(f"{text!r} is none of {', '.join(choices)}")
    try:
        return parse(text)
    except ValueError:
        if parse not in _KINDS:
            raise
        raise ValueError(f"{text!r} is not {_KINDS[parse]}") from None


def _format(default: object) -> str:
    """Return a default as the text that gives it."""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return "none" if default is None else str(default)
