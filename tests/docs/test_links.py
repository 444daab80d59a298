"""Links of the pages lead somewhere, and paths of the repository that they name exist."""

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT, name_of, prose_of

_PAGES = [*PAGES, ROOT / "CHANGELOG.md"]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ELSEWHERE = ("https://", "http://")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
# What benchmarks and deployments write.
_MADE = ("bench/results/", ".bench-peers/", ".modelplane/launcher", ".modelplane/payloads")
_TOP = {path.name for path in ROOT.iterdir() if path.is_dir()}


@pytest.mark.parametrize("page", _PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    dead = [link for link in _LINK.findall(prose_of(page)) if not _leads_somewhere(page, link)]
    assert dead == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [PAGES[0]]
    while waiting:
        page = waiting.pop()
        if page in reached or page not in PAGES:
            continue
        reached.add(page)
        links = _LINK.findall(prose_of(page))
        paths = [link.partition("#")[0] for link in links if not link.startswith(_ELSEWHERE)]
        waiting += [(page.parent / path).resolve() for path in paths if path]
    assert {name_of(page) for page in set(PAGES) - reached} == set()


@pytest.mark.parametrize("page", _PAGES, ids=name_of)
def test_paths_that_are_named_exist(page: Path) -> None:
    spans = [span for span in _SPAN.findall(prose_of(page)) if _is_path(span)]
    assert [span for span in spans if not (ROOT / span).exists()] == []


def _leads_somewhere(page: Path, link: str) -> bool:
    if link.startswith(_ELSEWHERE):
        # Not asked: the tests need no network.
        return True
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in _anchors(target)


@cache
def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made of their texts."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _is_path(span: str) -> bool:
    """Tell whether a span names a file or folder of the repository, and not one to be made."""
    if "/foo" in span or span in _MADE:
        return False
    return span.partition("/")[0] in _TOP and re.fullmatch(r"[\w.-]+/[\w./-]*", span) is not None
