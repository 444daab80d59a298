"""The command `modelplane guardrails`: policies of endpoints, and what they would do about a text.

Called by `cli`.
"""

from collections.abc import Mapping, Sequence

from modelplane.deploy.command.api.documents import JSON_HELP, read_json
from modelplane.deploy.command.api.failures import Status, WrongUsage
from modelplane.deploy.command.api.rollouts import endpoint_path
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.tables import Column, column
from modelplane.deploy.command.api.verbs import Noun, Verb, argument, run_noun
from modelplane.deploy.command.nouns.endpoint_arguments import NAME

_CHECK = "/serving-endpoints/guardrails/check"
_DETECTORS = ("pii", "keywords", "patterns", "judge")


def main(argv: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    return run_noun(NOUN, argv)


def _policies(session: Session) -> None:
    answer = session.client.call("GET", endpoint_path(session.given.name, "policies"))
    columns = [
        column("NAME", "name"),
        column("RANK", "rank"),
        Column("PHASES", lambda row: ", ".join(row["phases"])),
        column("MODE", "mode"),
        column("ACTION", "action"),
        Column("LOOKS FOR", _detector),
    ]
    session.show_rows(answer, columns, answer["policies"])


def _detector(row: Mapping[str, object]) -> str:
    return next((name for name in _DETECTORS if name in row), "")


def _set_policies(session: Session) -> None:
    given = read_json(session.given.json)
    body = {"policies": given.get("policies", [])}
    answer = session.client.call("PUT", endpoint_path(session.given.name, "policies"), body)
    names = ", ".join(policy["name"] for policy in answer["policies"]) or "none"
    session.say(f"set the policies of {session.given.name}: {names}", answer)


def _check(session: Session) -> Status:
    given = session.given
    if bool(given.name) == bool(given.json):
        raise WrongUsage("name an endpoint with --name, or give guardrails with --json")
    body = dict(read_json(given.json)) if given.json else {"name": given.name}
    body |= {"text": given.text, "direction": given.direction.upper()}
    answer = session.client.query(_CHECK, body)
    lines = [f"{answer['action']}: {answer['text']}"]
    lines += [
        f"  {found['kind']} at {found.get('start', 0)} to {found.get('end', len(given.text))}, by "
        f"'{found['policy']}' ({found['mode']})"
        for found in answer["findings"]
    ]
    session.show(answer, "\n".join(lines) + "\n")
    return Status.NEGATIVE if answer["action"] == "BLOCK" else Status.DONE


NOUN = Noun(
    "guardrails",
    "Set the policies of endpoints, and try what guardrails do about a text.",
    (
        Verb("get", "list the policies of an endpoint", _policies, (NAME,)),
        Verb(
            "set",
            "replace the policies of an endpoint",
            _set_policies,
            (NAME, argument("--json", required=True, metavar="JSON", help=JSON_HELP)),
        ),
        Verb(
            "check",
            "tell what would be done about a text; the exit status is 1 if it were blocked",
            _check,
            (
                argument("text", help="the text"),
                argument("--name", default="", metavar="ENDPOINT", help="whose guardrails"),
                argument(
                    "--json",
                    default="",
                    metavar="JSON",
                    help=f"`guardrails` and `policies` to try: {JSON_HELP}",
                ),
                argument(
                    "--direction",
                    default="input",
                    choices=("input", "output"),
                    help="whether it is a request (default) or an answer",
                ),
            ),
        ),
    ),
)
