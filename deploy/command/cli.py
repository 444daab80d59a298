"""The `modelplane` command: one deployment on one machine, or its parts one by one.

Each command reads its own flags, and is imported only when it is meant: they start faster so, and a
process holds one part.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from modelplane.adapters.shared.settings import environment, variable_name

_USAGE_ERROR = 2


@dataclass(frozen=True, slots=True)
class Command:
    """A command: the module whose `main` runs it, and what it does."""

    module: str
    summary: str


COMMANDS: Mapping[str, Command] = {
    "up": Command("modelplane.deploy.command.up", "run everything on this machine"),
    "control-plane": Command("modelplane.control_plane.__main__", "run a control plane"),
    "launcher": Command("modelplane.launcher.__main__", "run the models that are hosted"),
    "worker": Command("modelplane.data_plane.__main__", "run a data-plane worker"),
    "payload-writer": Command(
        "modelplane.data_plane.tables.__main__", "write what workers record to payload tables"
    ),
    "keys": Command("modelplane.control_plane.secrets.keys", "list, replace and drop master keys"),
    "carry-over": Command(
        "modelplane.control_plane.carry_over",
        "make a database of before the first release one of it",
    ),
    "local-model": Command("modelplane.deploy.local.model", "run the small local model"),
    "usage": Command(
        "modelplane.deploy.command.usage.__main__", "show or export what was used, by whom"
    ),
    "query": Command("modelplane.deploy.command.query", "ask payload tables in SQL"),
    "agent-config": Command(
        "modelplane.deploy.command.agent_config", "print how a coding agent is set up for here"
    ),
    "envoy-config": Command(
        "modelplane.deploy.command.envoy_config",
        "print the configuration of an Envoy in front of the planes",
    ),
    "certs": Command(
        "modelplane.deploy.command.certs",
        "make the certificates by which planes on several machines know each other",
    ),
    "version": Command("modelplane.deploy.command.version", "print the version"),
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
    arguments = list(sys.argv[1:] if argv is None else argv)
    name: str = _parser().parse_args(arguments[:1]).command
    if name in ("up", "worker") and (removed := _removed()):
        print(f"modelplane {name}: {removed}", file=sys.stderr)
        return _USAGE_ERROR
    run: Callable[[Sequence[str]], int] = import_module(COMMANDS[name].module).main
    return run(arguments[1:])


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
    listed = [f"  {name.ljust(width)}  {one.summary}" for name, one in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="modelplane",
        usage="modelplane COMMAND [OPTIONS]",
        description="A self-hosted model-serving gateway that speaks the Databricks API.",
        epilog="\n".join(("commands; each tells its options with --help:", *listed)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    return parser
