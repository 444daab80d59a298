"""Commands of the form `modelplane NOUN VERB`, as tables: one `Noun` for each module of `nouns`.

Before: `nouns`. After: `session`. `run_command` is for commands without verbs, too.
"""

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter, _ActionsContainer
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from modelplane.adapters.shared.settings import complete, environment
from modelplane.deploy.command.api.failures import CommandFailed, Status
from modelplane.deploy.command.api.session import Session

Run = Callable[[Session], Status | None]
# Returns what an argument may be, for the shell's completion.
Completer = Callable[[Session], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument as `argparse` takes it, and what it may be."""

    names: tuple[str, ...]
    options: Mapping[str, Any]
    completer: Completer | None = None


def argument(*names: str, completer: Completer | None = None, **options: Any) -> Argument:  # noqa: ANN401 - like add_argument()
    """Return an argument, described as to `add_argument()`."""
    return Argument(names, options, completer)


@dataclass(frozen=True, slots=True)
class Verb:
    """What can be done with a noun."""

    name: str
    summary: str
    run: Run
    arguments: tuple[Argument, ...] = ()
    # Arguments of which exactly one is given.
    one_of: tuple[Argument, ...] = ()
    # Shown below the arguments.
    epilog: str = ""


@dataclass(frozen=True, slots=True)
class Noun:
    """What the verbs are about."""

    name: str
    description: str
    verbs: Sequence[Verb] = field(default=())


PLACE = (
    argument("-p", "--profile", default="", help="profile of ~/.databrickscfg"),
    argument("--url", default="", help="URL of the deployment, in place of the environment's"),
    argument("--data-dir", default="", help="data directory of a local deployment"),
)
OUTPUT = argument(
    "-o", "--output", default="table", choices=("table", "json"), help="form of the answer"
)


def run_noun(noun: Noun, argv: Sequence[str]) -> int:
    """Run the verb that the arguments name; return the exit status."""
    parser = ArgumentParser(prog=f"modelplane {noun.name}", description=noun.description)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in noun.verbs:
        one = verbs.add_parser(
            verb.name,
            help=verb.summary,
            description=f"{verb.summary[0].upper()}{verb.summary[1:]}.",
            epilog=verb.epilog,
            formatter_class=RawDescriptionHelpFormatter,
        )
        _fill(one, verb.arguments)
        if verb.one_of:
            _fill(one.add_mutually_exclusive_group(required=True), verb.one_of)
        _fill(one, (OUTPUT, *PLACE))
        one.set_defaults(run=verb.run)
    complete(parser)
    if argv and (chosen := verbs.choices.get(argv[0])):
        return _run(chosen, argv[1:])
    # It has the help, or is wrong: either ends here.
    parser.parse_args(argv)
    return Status.USAGE


def run_command(
    name: str, description: str, arguments: Sequence[Argument], run: Run, argv: Sequence[str]
) -> int:
    """Run a command that has no verbs; return the exit status."""
    parser = ArgumentParser(
        prog=f"modelplane {name}",
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
    )
    _fill(parser, (*arguments, *PLACE))
    parser.set_defaults(run=run)
    complete(parser)
    return _run(parser, argv)


def _fill(parser: _ActionsContainer, arguments: Iterable[Argument]) -> None:
    for one in arguments:
        action = parser.add_argument(*one.names, **one.options)
        if one.completer:
            # Where `argcomplete` looks for it.
            vars(action)["completer"] = partial(_complete, one.completer)


def _run(parser: ArgumentParser, argv: Sequence[str]) -> int:
    # Options may stand between a name and what follows it.
    given = parser.parse_intermixed_args(argv)
    session = Session(given, environment())
    try:
        status: Status | None = given.run(session)
    except CommandFailed as error:
        session.note(f"{parser.prog}: {error}")
        return error.status
    except KeyboardInterrupt:
        session.note("")
        return Status.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the answer has seen enough, such as `head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Status.DONE
    finally:
        session.close()
    return status or Status.DONE


def _complete(completer: Completer, **found: Any) -> list[str]:  # noqa: ANN401 - by argcomplete
    given = found["parsed_args"]
    for name in ("profile", "url", "data_dir"):
        vars(given).setdefault(name, "")
    session = Session(given, environment(), is_quick=True)
    try:
        return list(completer(session))
    except CommandFailed:
        return []
    finally:
        session.close()
