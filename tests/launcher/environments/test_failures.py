"""What uv said in real failures, and the one sentence that is made of it."""

import pytest

from modelplane.launcher.environments.failures import explain
from modelplane.launcher.environments.index import translate, without_credentials

SAID = [
    (
        (
            "error: No solution found when resolving dependencies\n  cause: Because there is no version "
            "of mlflow==9.9.9 and you require mlflow==9.9.9, we can conclude that your requirements are "
            "unsatisfiable."
        ),
        "There is no version of mlflow==9.9.9 that fits.",
    ),
    (
        (
            "  \u00d7 No solution found when resolving dependencies:\n  \u2570\u2500\u25b6 Because there are no versions of "
            "mlflow==9.9.9 and you require mlflow==9.9.9, we can conclude that"
        ),
        "There is no version of mlflow==9.9.9 that fits.",
    ),
    (
        (
            "error: No solution found when resolving dependencies\n  cause: Because no-such was not "
            "found in the package registry and you require no-such==1, we can conclude that"
        ),
        "There is no package named no-such.",
    ),
    (
        (
            "error: No solution found when resolving dependencies\n  cause: Because mlflow==2.22.0 "
            "depends on pandas<3 and you require mlflow==2.22.0, we can conclude that you require "
            "pandas<3.\n         And because you require pandas==3.0.0, we can conclude that your "
            "requirements are unsatisfiable."
        ),
        (
            "The requirements contradict each other: Because mlflow==2.22.0 depends on pandas<3 and you "
            "require mlflow==2.22.0, we can conclude that you require pandas<3. And because you require "
            "pandas==3.0.0, we can conclude that your requirements are unsatisfiable."
        ),
    ),
    (
        (
            "error: No solution found when resolving dependencies\n  cause: Because torch==1.0.0 has no "
            "wheels with a matching Python ABI tag (e.g., `cp311`) and you require torch==1.0.0"
        ),
        "There is no build of torch==1.0.0 for this Python and machine.",
    ),
    (
        (
            "error: Failed to build `pygraphviz==1.11`\n  pygraphviz/graphviz_wrap.c:3020:10: fatal "
            "error: graphviz/cgraph.h: No such file or directory"
        ),
        (
            "A package has to be compiled and needs a system library that is missing: its header "
            "graphviz/cgraph.h is not on this machine."
        ),
    ),
    (
        "error: Failed to build `tiny==1`\n error: command 'gcc' failed: No such file or directory",
        "A package has to be compiled and needs a tool that is not on this machine: gcc.",
    ),
    (
        "error: Failed to build `psycopg2==2.9`\nError: pg_config executable not found.",
        "A package has to be compiled and needs a tool that is not on this machine: pg_config.",
    ),
    (
        "error: Failed to build `mysqlclient==2.2.4`\n Exception: Can not find valid name.",
        (
            "The package mysqlclient==2.2.4 has to be built from its sources, which failed: as a rule a "
            "tool or a system library is missing; the build log says which."
        ),
    ),
    (
        (
            "error: Request failed after 2 retries in 3.1s\n  cause: Failed to fetch: http://x/mlflow/\n"
            "  cause: client error (Connect)\n  cause: tcp connect error"
        ),
        "The package index cannot be reached.",
    ),
    (
        "error: Failed to extract archive\n  cause: No space left on device (os error 28)",
        "The disk is full: [Errno 28] No space left on device.",
    ),
    (
        "hint: Packages were unavailable because the network was disabled.",
        "A package is not on this machine, and the operator's settings switch fetching off.",
    ),
    ("something new\nwent wrong", "The installation failed: something new went wrong"),
]


@pytest.mark.parametrize(("said", "reason"), SAID, ids=[reason[:40] for _, reason in SAID])
def test_each_failure_has_its_sentence(said: str, reason: str) -> None:
    assert explain(said) == reason


def test_settings_of_pip_become_those_of_uv() -> None:
    listed = """:env:.cert='/own.pem'
global.cert='/all.pem'
global.extra-index-url='file:///a/simple\\nfile:///b/simple'
global.find-links='/wheels /more'
global.index-url='https://user:secret@index.invalid/simple'
install.no-binary=':none:'
"""
    assert translate(listed) == {
        "SSL_CERT_FILE": "/own.pem",
        "UV_INDEX": "file:///a/simple file:///b/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_DEFAULT_INDEX": "https://user:secret@index.invalid/simple",
    }


def test_logs_hold_no_password_of_an_index() -> None:
    said = "Failed to fetch: https://user:secret@index.invalid/simple/mlflow/"
    assert without_credentials(said) == "Failed to fetch: https://***@index.invalid/simple/mlflow/"


@pytest.mark.parametrize("text", ["a" * 400_000, " " * 400_000 + "x", "a-" * 200_000])
def test_what_a_build_prints_is_searched_once(text: str) -> None:
    """Not once from each of its letters, which would keep the launcher from its work for hours."""
    assert without_credentials(text) == text
    assert explain(text).startswith("The installation failed: ")
