"""The `modelplane` command: one deployment on one machine, or its parts one by one.

Each command reads its own flags, and is imported only when it is meant: they start faster so, and a
process holds one part.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from modelplane.adapters.shared.settings import COMPLETION, complete, environment, variable_name

_USAGE_ERROR = 2
_NOUNS = "modelplane.deploy.command.nouns"
_DECLARED = "modelplane.deploy.command.declared"
_RUN, _USE, _SET_UP = "run a deployment", "use a deployment, over its API", "set things up"


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the module whose `main` runs it, what it does, and which heading it stands below.

    A shell is helped with the arguments of those that `completes`.
    """

    module: str
    summary: str
    heading: str
    completes: bool = True


COMMANDS: Mapping[str, Command] = {
    "up": Command("modelplane.deploy.command.up", "run everything on this machine", _RUN),
    "control-plane": Command(
        "modelplane.control_plane.__main__", "run a control plane", _RUN, completes=False
    ),
    "launcher": Command(
        "modelplane.launcher.__main__", "run the models that are hosted", _RUN, completes=False
    ),
    "worker": Command(
        "modelplane.data_plane.__main__", "run a data-plane worker", _RUN, completes=False
    ),
    "payload-writer": Command(
        "modelplane.data_plane.tables.__main__",
        "write what workers record to payload tables",
        _RUN,
        completes=False,
    ),
    "endpoints": Command(
        f"{_NOUNS}.endpoints", "define, change, read and query serving endpoints", _USE
    ),
    "guardrails": Command(
        f"{_NOUNS}.guardrails", "set policies, and try what guardrails do about a text", _USE
    ),
    "secrets": Command(f"{_NOUNS}.secrets", "keep the credentials of providers", _USE),
    "permissions": Command(f"{_NOUNS}.permissions", "say who may use an endpoint", _USE),
    "users": Command(f"{_NOUNS}.users", "let people in, and shut them out", _USE),
    "groups": Command(f"{_NOUNS}.groups", "put users together", _USE),
    "service-principals": Command(f"{_NOUNS}.service_principals", "let programs in", _USE),
    "tokens": Command(f"{_NOUNS}.tokens", "make, list and revoke access tokens", _USE),
    "prices": Command(f"{_NOUNS}.prices", "say what the tokens of models cost", _USE),
    "usage": Command(
        "modelplane.deploy.command.usage.__main__", "show or export what was used, by whom", _USE
    ),
    "query": Command(
        "modelplane.deploy.command.query", "ask payload tables in SQL", _USE, completes=False
    ),
    "status": Command(
        "modelplane.deploy.command.status", "show parts, revisions, endpoints and limits", _USE
    ),
    "logs": Command(
        "modelplane.deploy.command.logs.command", "show the calls of a deployment, one a line", _USE
    ),
    "apply": Command(f"{_DECLARED}.apply", "make a deployment what files declare", _USE),
    "diff": Command(f"{_DECLARED}.diff", "tell how it differs from what files declare", _USE),
    "export": Command(f"{_DECLARED}.export", "print what is there, as files declare it", _USE),
    "doctor": Command(
        "modelplane.deploy.command.doctor.examination",
        "check what a deployment stands on, and say what to do",
        _SET_UP,
    ),
    "agent-config": Command(
        "modelplane.deploy.command.agent_config",
        "print how a coding agent is set up for here",
        _SET_UP,
    ),
    "keys": Command(
        "modelplane.control_plane.secrets.keys",
        "list, replace and drop master keys",
        _SET_UP,
        completes=False,
    ),
    "migrate": Command(
        "modelplane.control_plane.migrate", "bring a database up to date", _SET_UP, completes=False
    ),
    "backup": Command(
        "modelplane.control_plane.backup",
        "copy the database while it is in use",
        _SET_UP,
        completes=False,
    ),
    "restore": Command(
        "modelplane.control_plane.restore",
        "put such a copy where no database is",
        _SET_UP,
        completes=False,
    ),
    "carry-over": Command(
        "modelplane.control_plane.carry_over",
        "make a database of before the first release one of it",
        _SET_UP,
        completes=False,
    ),
    "envoy-config": Command(
        "modelplane.deploy.command.envoy_config",
        "print the configuration of an Envoy before the planes",
        _SET_UP,
    ),
    "certs": Command(
        "modelplane.deploy.command.certs",
        "make the certificates by which planes know each other",
        _SET_UP,
    ),
    "completion": Command(
        "modelplane.deploy.command.completion", "print what completes commands in a shell", _SET_UP
    ),
    "version": Command("modelplane.deploy.command.version", "print the version", _SET_UP),
}
# Settings of workers that had an Envoy around them. Whoever still gives one would miss what it did.
_REMOVED = (
    "worker_host",
    "public_listen",
    "control_plane_api",
    "public_tls_cert",
    "public_tls_key",
    "public_url",
    "envoy_admin_listen",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    environ = environment()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if COMPLETION in environ:
        return _complete(environ)
    if arguments[:1] == ["--version"]:
        arguments = ["version"]
    name: str = _parser().parse_args(arguments[:1]).command
    if name in ("up", "worker") and (removed := _removed()):
        print(f"modelplane {name}: {removed}", file=sys.stderr)
        return _USAGE_ERROR
    return _run(COMMANDS[name], arguments[1:])


def _run(command: Command, arguments: Sequence[str]) -> int:
    # What is imported stays: to look for garbage in it takes a tenth of the start.
    gc.disable()
    run: Callable[[Sequence[str]], int] = import_module(command.module).main
    gc.enable()
    return run(arguments)


def _complete(environ: Mapping[str, str]) -> int:
    """Answer a shell that asks how its line goes on; return the exit status."""
    line = environ.get("COMP_LINE", "")[: int(environ.get("COMP_POINT", "0"))]
    # The last word may not be whole yet.
    words = (line + "x").split()[1:-1]
    if not words:
        complete(_parser())
    elif (command := COMMANDS.get(words[0])) and command.completes:
        _run(command, [])
    return 0


def _removed() -> str:
    """Return what to say of a setting that is gone but still given; empty: there is none."""
    names = map(variable_name, _REMOVED)
    if not (given := [name for name in names if name in environment()]):
        return ""
    return (
        f"{given[0]} is set, and no longer a setting: a worker is a process of its own, behind an "
        "Envoy with the configuration that `modelplane envoy-config` prints"
    )


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = []
    for heading in (_RUN, _USE, _SET_UP):
        own = {name: one for name, one in COMMANDS.items() if one.heading == heading}
        listed.append(f"{heading}:")
        listed += [f"  {name.ljust(width)}  {one.summary}" for name, one in own.items()]
    parser = argparse.ArgumentParser(
        prog="modelplane",
        usage="modelplane COMMAND [OPTIONS]",
        description="A self-hosted model-serving gateway that speaks the Databricks API.",
        epilog="\n".join((*listed, "", "Each command tells its options with --help.")),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    return parser
