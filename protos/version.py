"""Which version is built: the tag's where the commit has one, else one that says that it is none.

Hatchling asks it; a source distribution, and an image, which have no repository, are told.
"""

import os
import re
import subprocess
from pathlib import Path

# The release that the tree is on its way to; the chart has the same.
NEXT = "0.1.0"
# For builds without a repository, such as that of an image.
VARIABLE = "MODELPLANE_BUILD_VERSION"
_ROOT = Path(__file__).parents[1]
_DESCRIBED = re.compile(r"v(.+)-(\d+)-g([0-9a-f]+)")
_TOLD = re.compile(r"^Version: (.+)$", re.MULTILINE)


def find_version(root: Path = _ROOT) -> str:
    """Return the version of what is in `root`.

    Raises:
        ValueError: The commit has a tag that is not of the release that the tree says.
    """
    if told := os.environ.get(VARIABLE):
        return told
    metadata = root / "PKG-INFO"
    if metadata.exists() and (found := _TOLD.search(metadata.read_text())):
        return found[1]
    if not (described := _DESCRIBED.fullmatch(_describe(root))):
        return f"{NEXT}.dev0"
    tag, since, commit = described.groups()
    if int(since):
        return f"{NEXT}.dev{since}+g{commit}"
    if tag != NEXT:
        raise ValueError(f"the commit is tagged v{tag}, and protos/version.py says {NEXT}")
    return tag


def _describe(root: Path) -> str:
    """Return the last tag, the number of commits since, and the commit; empty: there is no tag."""
    if not (root / ".git").exists():
        # A repository around it is another project's.
        return ""
    command = ("git", "describe", "--tags", "--long", "--match", "v[0-9]*")
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
