"""Every command and every piece of code in README and docs runs, or says why not."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from modelplane.control_plane.identity.outside_issuers import parse_issuers
from modelplane.control_plane.secrets.stores.declarations import parse_declarations
from tests.docs.blocks import PAGES, ROOT, RUN, Block, find_blocks, mistake_of, name_of
from tests.docs.session import Session
from tests.docs.world import World

_SETTINGS = {
    "MODELPLANE_OIDC_ISSUERS": parse_issuers,
    "MODELPLANE_SECRET_STORES": parse_declarations,
}
_BLOCKS = [block for page in PAGES for block in find_blocks(page)]
_NOT_RUN = [block for block in _BLOCKS if block.kind == "not run"]


def test_every_block_runs_or_says_why_not() -> None:
    assert {b.place: wrong for b in _BLOCKS if (wrong := mistake_of(b))} == {}
    assert sum(block.kind == RUN for block in _BLOCKS) > 40


@pytest.mark.parametrize("page", [page for page in PAGES if any(find_blocks(page))], ids=name_of)
def test_the_blocks_of_a_page_run(
    page: Path, world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    runs = (block for block in find_blocks(page) if block.kind in (RUN, "serves"))
    on_postgres = any("$DATABASE_URL" in block.text for block in runs)
    variables = request.getfixturevalue("databases") if on_postgres else {}
    said = ""
    with world.reader(page, tmp_path / "page", variables) as session:
        for block in find_blocks(page):
            said = _do(block, session, world, said)


def _do(block: Block, session: Session, world: World, said: str) -> str:
    """Do with a block what its page says, and return what it printed."""
    match block.kind:
        case "run":
            return session.run(block)
        case "serves":
            session.serve(block)
        case "says":
            session.wait_for(block)
        case "output":
            assert said.strip() == block.text.strip(), block.place
        case "create":
            environment, text = session.environment, session.rewritten(block.text)
            world.create(environment["TOKEN"], environment["URL"], json.loads(text))
        case "setting":
            assert _SETTINGS[block.note](block.text), block.place
    return ""


@pytest.mark.parametrize("block", _NOT_RUN, ids=lambda block: block.place)
def test_what_is_not_run_names_what_exists(block: Block) -> None:
    if block.language == "sh":
        subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE)) <= set(targets)
