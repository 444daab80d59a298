"""The command `modelplane apply`: makes a deployment what files declare.

Called by `cli`. After: `plan`.
"""

from collections.abc import Sequence

from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.verbs import argument, run_command
from modelplane.deploy.command.declared.plan import FILES, do, make_plan, show
from modelplane.deploy.command.nouns.endpoint_arguments import WAIT

_DESCRIPTION = """\
Make users, groups, secret scopes, endpoints and prices what files declare. Applied
again, nothing changes. All files are read and compared before anything is changed.
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    dry_run = argument("--dry-run", action="store_true", help="only show what would be done")
    return run_command("apply", _DESCRIPTION, (*FILES, dry_run, *WAIT), _apply, argv)


def _apply(session: Session) -> None:
    is_dry = session.given.dry_run
    steps = make_plan(session, is_dry=is_dry)
    if is_dry:
        show(session, steps)
    else:
        do(session, steps)
