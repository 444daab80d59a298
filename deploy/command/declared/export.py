"""The command `modelplane export`: writes what is there in the form that `apply` reads.

Called by `cli`. After: `kinds.registry`.
"""

import json
from collections.abc import Sequence

import yaml

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.verbs import argument, run_command
from modelplane.deploy.command.declared.files import check_names
from modelplane.deploy.command.declared.kinds.base import World
from modelplane.deploy.command.declared.kinds.registry import KINDS

_DESCRIPTION = """\
Print what is there in the form that `modelplane apply` reads. No secret's value is
in it: each is to come from a variable that is named after its scope and key.
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    arguments = (
        argument("kinds", nargs="*", metavar="KIND", help=f"only these: {', '.join(KINDS)}"),
        argument("-o", "--output", default="yaml", choices=("yaml", "json"), help="form"),
    )
    return run_command("export", _DESCRIPTION, arguments, _export, argv)


def _export(session: Session) -> None:
    wanted = session.given.kinds or list(KINDS)
    check_names(wanted, KINDS, "export:")
    world = World(session)
    document: Json = {}
    for section, kind in KINDS.items():
        if section in wanted and (found := list(kind.export(world))):
            document[section] = found
    if session.is_json:
        session.write(json.dumps(document, indent=2) + "\n")
    else:
        session.write(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
