"""Which deployment is meant, and with which credential: flags, variables, files, in this order."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelplane.deploy.command.api.failures import CommandFailed, Status
from modelplane.deploy.command.api.places import Place, Wanted, find_place

PROFILES = """
[DEFAULT]
host = https://default.example.com/
token = t-default

[other]
host = other.example.com
client_id = id
client_secret = secret

[empty]
"""


@pytest.fixture(name="home")
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_here(directory: Path, url: str = "http://127.0.0.1:9") -> None:
    directory.mkdir()
    (directory / "up.json").write_text(json.dumps({"url": url, "certificate": "/c.pem"}))
    (directory / "admin-token").write_text("t-admin\n")


def found(
    environ: Mapping[str, str] | None = None, wanted: Wanted | None = None
) -> tuple[str, str]:
    place = find_place(wanted or Wanted(), environ or {})
    return place.url, place.token


def test_nothing_is_told_in_one_line(home: Path) -> None:
    with pytest.raises(CommandFailed, match="modelplane up") as caught:
        found()
    assert caught.value.status == Status.USAGE
    assert home.exists()


def test_the_first_that_is_there(home: Path) -> None:
    (home / ".databrickscfg").write_text(PROFILES)
    assert found() == ("https://default.example.com", "t-default")
    run_here(home / ".modelplane")
    assert found() == ("http://127.0.0.1:9", "t-admin")
    named = {"DATABRICKS_CONFIG_PROFILE": "DEFAULT"}
    assert found(named) == ("https://default.example.com", "t-default")
    sdk = {"DATABRICKS_HOST": "sdk.example.com", "DATABRICKS_TOKEN": "t-sdk", **named}
    assert found(sdk) == ("https://sdk.example.com", "t-sdk")
    run_here(home / "named", "http://127.0.0.1:8")
    ours = {"MODELPLANE_DATA_DIR": str(home / "named"), **sdk}
    assert found(ours) == ("http://127.0.0.1:8", "t-admin")
    url = {"MODELPLANE_URL": "http://u.example.com/", "MODELPLANE_TOKEN": "t-own", **ours}
    assert found(url) == ("http://u.example.com", "t-own")
    assert found(url, Wanted(data_dir=".modelplane")) == ("http://127.0.0.1:9", "t-own")
    assert found(url, Wanted(url="http://f.example.com"))[0] == "http://f.example.com"
    assert find_place(Wanted("other", "http://f"), url).client == ("id", "secret")


def test_a_deployment_of_this_machine_is_known_by_its_certificate(home: Path) -> None:
    run_here(home / ".modelplane", "https://127.0.0.1:9")
    place = find_place(Wanted(), {})
    assert (place.certificate, place.is_local) == ("/c.pem", True)
    assert place.directory == Path(".modelplane")
    assert "t-admin" not in repr(place)


@pytest.mark.parametrize("url", ["https://models.example.com", "http://192.0.2.7:8080"])
def test_the_token_of_this_machine_goes_to_no_other(home: Path, url: str) -> None:
    run_here(home / ".modelplane")
    with pytest.raises(CommandFailed, match="set MODELPLANE_TOKEN") as caught:
        found(wanted=Wanted(url=url))
    assert caught.value.status == Status.NOT_ALLOWED
    assert found(wanted=Wanted(url="http://localhost:9"))[1] == "t-admin"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted("none"), "has no profile none; it has: other, empty"),
        (Wanted("empty"), "https://default.example.com"),
        (Wanted(url="127.0.0.1:8080"), "no http or https URL"),
        (Wanted(url="ftp://x"), "no http or https URL"),
        (Wanted(url="http://"), "no http or https URL"),
        (Wanted(url="http://[x"), "no http or https URL"),
        (Wanted(data_dir="none"), "no deployment runs in none"),
    ],
)
def test_what_cannot_be_meant(home: Path, wanted: Wanted, words: str) -> None:
    (home / ".databrickscfg").write_text(PROFILES)
    if words.startswith("https:"):
        # A profile has what DEFAULT has, as for the SDK.
        assert found(wanted=wanted)[0] == words
        return
    with pytest.raises(CommandFailed, match=words.replace("[", r"\[")):
        found(wanted=wanted)


def test_a_file_of_profiles_that_is_none(home: Path) -> None:
    (home / ".databrickscfg").write_text("host = x\n")
    with pytest.raises(CommandFailed, match="cannot read"):
        found()
    assert Place("http://127.0.0.1", "x").is_local
