"""The version of a build: a tag's, or one that says that it is no release."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.install.check_release import check_changelog
from tests.install.locks import RELEASE

NEXT: str = RELEASE["NEXT"]
find_version: Callable[[Path], str] = RELEASE["find_version"]


@pytest.fixture(name="tree")
def _tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(RELEASE["VARIABLE"], raising=False)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(tree: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Kim", "-c", "user.email=kim@example.com")
    subprocess.run(["git", *who, *arguments], cwd=tree, check=True)


def commit(tree: Path) -> None:
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "a change")


def test_a_tag_is_the_version_of_its_commit_alone(tree: Path) -> None:
    assert find_version(tree) == f"{NEXT}.dev0"
    git(tree, "tag", f"v{NEXT}")
    git(tree, "tag", "other")
    assert find_version(tree) == NEXT
    commit(tree)
    assert find_version(tree).startswith(f"{NEXT}.dev1+g")


def test_a_tag_of_another_release_is_refused(tree: Path) -> None:
    git(tree, "tag", "v99.0.0")
    with pytest.raises(ValueError, match=r"tagged v99.0.0, and protos/version.py says"):
        find_version(tree)


def test_what_has_no_repository_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tree / "inside"
    inside.mkdir()
    # The repository around it is not asked.
    git(tree, "tag", f"v{NEXT}")
    assert find_version(inside) == f"{NEXT}.dev0"
    (inside / "PKG-INFO").write_text("Metadata-Version: 2.4\nName: modelplane\nVersion: 7.1\n")
    assert find_version(inside) == "7.1"
    monkeypatch.setenv(RELEASE["VARIABLE"], "8.0")
    assert find_version(inside) == "8.0"


def test_a_release_is_told_of() -> None:
    log = f"# Changelog\n\n## Unreleased\n\n## {NEXT} - 2027-01-01\n\n### Added\n- All.\n"
    check_changelog(NEXT, log)
    check_changelog(f"{NEXT}.dev3+g12", "# Changelog")
    with pytest.raises(AssertionError, match="has no section"):
        check_changelog(NEXT, "# Changelog\n\n## Unreleased\n")
    with pytest.raises(AssertionError, match="belongs to the release"):
        check_changelog(NEXT, log.replace("Unreleased\n", "Unreleased\n\n### Added\n- More.\n"))
