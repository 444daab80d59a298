"""The command `modelplane doctor`: checks what a deployment stands on, and says what to do.

Called by `cli`. After: the modules beside it, one for each part.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from modelplane.deploy.command.api.failures import Status
from modelplane.deploy.command.api.places import DATA_DIR
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import plain
from modelplane.deploy.command.api.verbs import OUTPUT, argument, run_command
from modelplane.deploy.command.doctor import certificates, clock, database, egress, machine
from modelplane.deploy.command.doctor.findings import Finding, Level, Patient

_DESCRIPTION = """\
Check the machine, the database, keys, certificates, the clock, and the way to each
provider in use, before a start or beside a deployment that runs. Run it on the
machine, as the user, and with the environment of the deployment.

Exit status 1 tells that there is a problem.
"""
Check = Callable[[Patient], Iterator[Finding]]
CHECKS: Sequence[Check] = (
    machine.check_port,
    machine.check_envoy,
    machine.check_open_files,
    machine.check_disk,
    machine.check_directory,
    database.check_database,
    certificates.check_certificates,
    egress.check_egress,
    # Compares the clocks that the others have seen.
    clock.check_clock,
)
_ARGUMENTS = (
    argument("--host", default="127.0.0.1", help="address of the public port"),
    argument("--port", type=int, default=8080, help="public port"),
    OUTPUT,
)


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_command("doctor", _DESCRIPTION, _ARGUMENTS, _examine, argv)


def _examine(session: Session) -> Status:
    given = session.given
    named = given.data_dir or session.environ.get("MODELPLANE_DATA_DIR") or DATA_DIR
    patient = Patient(session, Path(named), given.host, given.port)
    found = []
    for check in CHECKS:
        for finding in check(patient):
            found.append(finding)
            if not session.is_json:
                session.write(_line(finding))
    problems = sum(finding.level == Level.PROBLEM for finding in found)
    document = {
        "findings": [
            {
                "subject": one.subject,
                "level": one.level,
                "text": one.text,
                "advice": one.advice,
            }
            for one in found
        ]
    }
    noun = "problem" if problems == 1 else "problems"
    session.show(document, f"\n{problems} {noun}\n" if problems else "\nno problems\n")
    return Status.NEGATIVE if problems else Status.DONE


def _line(finding: Finding) -> str:
    text = f"{finding.level:8} {finding.subject}: {plain(finding.text)}\n"
    return text + (f"{'':8} -> {finding.advice}\n" if finding.advice else "")
