"""The command `modelplane diff`: tells how a deployment differs from what files declare.

Called by `cli`. After: `plan`.
"""

from collections.abc import Sequence

from modelplane.deploy.command.api.failures import Status
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.verbs import run_command
from modelplane.deploy.command.declared.plan import FILES, is_as_declared, make_plan, show

_DESCRIPTION = """\
Show what `modelplane apply` would do, and change nothing. Exit status 1 tells that
there is something to do.
"""


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_command("diff", _DESCRIPTION, FILES, _diff, argv)


def _diff(session: Session) -> Status:
    steps = make_plan(session, is_dry=True)
    show(session, steps)
    return Status.DONE if is_as_declared(steps) else Status.NEGATIVE
