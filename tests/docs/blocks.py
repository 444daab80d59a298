"""The pages of the documentation, and the blocks of commands and code in them.

A block runs (`sh`, `python`) unless a comment on the line before it says something else; comments
of HTML do not show:

| comment                | block    | what the tests do with it                                   |
|------------------------|----------|-------------------------------------------------------------|
| `<!-- not run: WHY -->`| any      | see that a shell can read it, and that its targets exist    |
| `<!-- serves -->`      | `sh`     | start this deployment; the rest of the page is about it     |
| `<!-- says -->`        | `text`   | wait until that deployment has said this                    |
| `<!-- output -->`      | `text`   | compare it with what the block before it printed            |
| `<!-- create -->`      | `json`   | create this endpoint and query it                           |
| `<!-- setting: NAME -->`| `json`  | read it as the value of a setting                           |
| `<!-- values -->`      | `yaml`   | render the chart with them (`tests/deploy/chart`)           |
| `<!-- figure -->`      | `text`   | nothing                                                     |
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))
RUN = "run"
# What a comment may say of a block of a language; without a comment it runs.
KINDS = {
    "sh": (RUN, "not run", "serves"),
    "python": (RUN, "not run"),
    "json": ("not run", "create", "setting"),
    "yaml": ("not run", "values"),
    "sql": ("not run",),
    # Those of `docs/grpc.md` run with `tests/clients`.
    "go": ("not run",),
    "java": ("not run",),
    "typescript": ("not run",),
    "hcl": ("not run",),
    "text": ("output", "says", "figure"),
}
_WITH_NOTE = ("not run", "setting")
_COMMENT = re.compile(r"<!-- (?P<kind>[a-z ]+?)(?:: (?P<note>.+))? -->")
_FENCE = re.compile(r" *```(?P<language>.*)")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page.

    Attributes:
        page: The page.
        line: Line of its first fence, from 1.
        language: What follows the fence: `sh`, `python`, `json`, `yaml`, `sql` or `text`.
        text: What is between the fences.
        kind: What is to be done with it; `RUN` where no comment says it.
        note: What the comment says beside the kind.
    """

    page: Path
    line: int
    language: str
    text: str
    kind: str
    note: str

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    """Return the path of a page in the repository."""
    return str(page.relative_to(ROOT))


def find_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    return list(_find(page))


def prose_of(page: Path) -> str:
    """Return a page without its blocks; its lines keep their numbers."""
    lines = page.read_text().split("\n")
    for block in find_blocks(page):
        end = block.line + block.text.count("\n") + 1
        lines[block.line - 1 : end] = [""] * (end - block.line + 1)
    return "\n".join(lines)


def _find(page: Path) -> Iterator[Block]:
    lines = page.read_text().split("\n")
    place = 0
    while place < len(lines):
        if fence := _FENCE.fullmatch(lines[place]):
            comment = _COMMENT.fullmatch(lines[place - 1].strip()) if place else None
            kind, note = (comment["kind"], comment["note"] or "") if comment else (RUN, "")
            end = lines.index(lines[place].partition("```")[0] + "```", place + 1)
            text = "".join(f"{line}\n" for line in lines[place + 1 : end])
            yield Block(page, place + 1, fence["language"], text, kind, note)
            place = end
        place += 1


def mistake_of(block: Block) -> str:
    """Return what is wrong with the form of a block; empty: nothing."""
    if block.language not in KINDS:
        return f"its language is '{block.language}', not one of {', '.join(KINDS)}"
    if block.kind not in KINDS[block.language]:
        return f"'{block.kind}' is nothing that can be done with {block.language}"
    if (block.kind in _WITH_NOTE) is not bool(block.note):
        return f"'{block.kind}' has no note, or should have none"
    return ""
