"""What files ask of a deployment, as steps; and how steps are told and done.

Before: `apply`, `diff`. After: `files`, `kinds`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from modelplane.deploy.command.api.failures import CommandFailed
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.verbs import OUTPUT, argument
from modelplane.deploy.command.declared.files import read_items
from modelplane.deploy.command.declared.kinds.base import CHANGE, CREATE, DELETE, KEEP, Step, World
from modelplane.deploy.command.declared.kinds.endpoints import prune_steps
from modelplane.deploy.command.declared.kinds.registry import KINDS

_SIGNS = {CREATE: "+", CHANGE: "~", DELETE: "-"}
_DONE = {CREATE: "created", CHANGE: "changed", DELETE: "deleted"}
_WORDS = {CREATE: "to create", CHANGE: "to change", DELETE: "to delete", KEEP: "as declared"}
FILES = (
    argument(
        "-f",
        "--file",
        action="append",
        required=True,
        type=Path,
        metavar="FILE|DIR",
        help="JSON or YAML, or a directory of such files; may be given several times",
    ),
    argument(
        "--prune",
        default="",
        metavar="KEY=VALUE",
        help="delete endpoints that have this tag and are in no file",
    ),
    argument(
        "--put-secrets",
        action="store_true",
        help="put all secrets again, not only those that are missing",
    ),
    OUTPUT,
)


def make_plan(session: Session, *, is_dry: bool) -> list[Step]:
    """Return what is to be done, in order.

    Args:
        session: The command.
        is_dry: Whether it is only to be shown.

    Raises:
        CommandFailed: The files cannot be understood, or the deployment does not answer.
    """
    items = read_items(session.given.file)
    world = World(session, items, is_dry)
    steps = [
        kind.plan(world, item)
        for section, kind in KINDS.items()
        for item in kind.order([item for item in items if item.section == section])
    ]
    if session.given.prune:
        steps += prune_steps(world, session.given.prune)
    return steps


def is_as_declared(steps: Iterable[Step]) -> bool:
    """Tell whether nothing is to be done."""
    return all(step.action == KEEP for step in steps)


def show(session: Session, steps: Sequence[Step]) -> None:
    """Print what is to be done."""
    lines = []
    for step in steps:
        if step.action != KEEP:
            lines.append(f"{_SIGNS[step.action]} {step.word} {step.name}\n")
            lines += [f"    {one.text()}\n" for one in step.differences]
    session.show(_document(steps), "".join(lines) + _counted(steps) + "\n")


def do(session: Session, steps: Sequence[Step]) -> None:
    """Do what is to be done, and tell each step once it is.

    Raises:
        CommandFailed: A step failed; those after it were not begun.
    """
    pending = [step for step in steps if step.action != KEEP]
    for number, step in enumerate(pending):
        try:
            step.run()
        except CommandFailed as error:
            left = len(pending) - number - 1
            rest = f" {left} more were not begun; apply again." if left else ""
            raise CommandFailed(
                f"cannot {step.action} {step.word} {step.name}: {error}{rest}", error.status
            ) from None
        if not session.is_json:
            session.write(f"{_DONE[step.action]} {step.word} {step.name}\n")
    session.show(_document(steps), "" if pending else _counted(steps) + "\n")


def _document(steps: Sequence[Step]) -> dict[str, object]:
    return {"steps": [step.document() for step in steps]}


def _counted(steps: Sequence[Step]) -> str:
    counts = Counter(step.action for step in steps)
    return ", ".join(
        f"{counts[action]} {word}" for action, word in _WORDS.items() if counts[action]
    )
