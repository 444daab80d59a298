"""Files that declare what a deployment has: applied, compared and exported."""

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.commands import Shell, shell
from tests.e2e.rest import Json, Rest, endpoint, entity
from tests.emulators.openai import OpenAiEmulator

__all__ = ["shell"]

# Which is refused where nothing looks through requests.
TABLE = {"enabled": True, "catalog_name": "main", "schema_name": "declared", "redact": "masked"}
TEAM = [{"key": "team", "value": "support"}]


@pytest.fixture(name="folder")
def _folder(provider: OpenAiEmulator, tmp_path: Path) -> Path:
    """Give a directory that declares one of everything."""
    folder = tmp_path / "declared"
    (folder / "endpoints").mkdir(parents=True)
    people = {
        "users": [{"userName": "ann", "displayName": "Ann"}],
        "groups": [{"displayName": "support", "members": ["ann"]}],
        "secret_scopes": [
            {
                "scope": "declared",
                "secrets": [{"key": "key", "from_env": "OPENAI_KEY"}],
                "acls": [{"principal": "support", "permission": "READ"}],
            }
        ],
    }
    (folder / "people.yaml").write_text(yaml.safe_dump(people))
    model = entity(provider, "gpt", openai_api_key="{{secrets/declared/key}}")
    grant = {"group_name": "support", "permission_level": "CAN_QUERY"}
    limits = [{"key": "user", "calls": 60, "renewal_period": "minute"}]
    body = endpoint(
        "assistant",
        model,
        description="For the desk",
        tags=TEAM,
        ai_gateway={
            "rate_limits": limits,
            "usage_tracking_config": {"enabled": True},
            "inference_table_config": TABLE,
        },
        policies=[{"name": "mask", "action": "mask", "pii": {}}],
        access_control_list=[grant],
    )
    (folder / "endpoints" / "assistant.json").write_text(json.dumps(body))
    return folder


@pytest.fixture(autouse=True)
def _no_scope(rest: Rest, shell: Shell, provider: OpenAiEmulator) -> None:
    scopes = rest.call("GET", "/api/2.0/secrets/scopes/list")["scopes"]
    if any(one["name"] == "declared" for one in scopes):
        rest.call("POST", "/api/2.0/secrets/scopes/delete", {"scope": "declared"})
    shell.set(OPENAI_KEY=provider.api_key)


def changed(folder: Path, name: str = "assistant", **fields: object) -> None:
    file = folder / "endpoints" / f"{name}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_what_is_applied_is_there_and_applying_again_changes_nothing(
    shell: Shell, folder: Path, rest: Rest
) -> None:
    told = shell.run("diff", "-f", str(folder), status=1)
    assert "+ endpoint assistant\n" in told
    assert told.endswith("4 to create\n")
    assert shell.run("apply", "-f", str(folder), "--dry-run") == told
    assert rest.call("GET", "/api/2.0/serving-endpoints")["endpoints"] == []
    assert shell.run("apply", "-f", str(folder)).splitlines() == [
        "created user ann",
        "created group support",
        "created secret scope declared",
        "created endpoint assistant",
    ]
    assert "heard" in shell.run("endpoints", "query", "assistant", "Hello")
    assert "support" in shell.run("permissions", "get", "assistant")
    assert "mask" in shell.run("guardrails", "get", "assistant")
    for command in (("apply", "-f", str(folder)), ("diff", "-f", str(folder))):
        assert shell.run(*command) == "4 as declared\n"
    assert rest.call("GET", "/api/2.0/serving-endpoints/assistant")["config"]["config_version"] == 1


def test_each_part_is_brought_back(shell: Shell, folder: Path) -> None:
    shell.run("apply", "-f", str(folder))
    by_hand = [
        ("endpoints", "patch", "assistant", "--tag", "new=1", "--tag", "team=other"),
        ("endpoints", "put-ai-gateway", "assistant", "--json", "{}"),
        ("guardrails", "set", "assistant", "--json", '{"policies": [{"name": "x", "pii": {}}]}'),
        ("permissions", "grant", "assistant", "CAN_VIEW", "--group", "users"),
        ("groups", "remove-members", "support", "ann"),
        ("secrets", "put-acl", "declared", "users", "READ"),
        ("users", "deactivate", "ann"),
    ]
    for command in by_hand:
        shell.run(*command)
    people = folder / "people.yaml"
    people.write_text(
        people.read_text().replace("- displayName: Ann", "- displayName: Anna\n  active: true")
    )
    told = shell.run("diff", "-f", str(folder), status=1)
    for line in (
        '~ displayName: "Ann" -> "Anna"',
        "~ active: false -> true",
        '+ members: "ann"',
        '- acls[users]: "READ"',
        '- tags[new]: {"key": "new", "value": "1"}',
        '~ tags[team].value: "other" -> "support"',
        '+ ai_gateway.usage_tracking_config: {"enabled": true}',
        '- policies[x]: {"rank": 100',
        '+ policies[mask]: {"rank": 100',
        '- access_control_list.group users: "CAN_VIEW"',
    ):
        assert line in told
    assert shell.run("apply", "-f", str(folder)).count("changed") == 4
    assert shell.run("diff", "-f", str(folder)) == "4 as declared\n"
    # What a redacted table needs is there before and goes away after.
    changed(folder, policies=[], ai_gateway={})
    assert "changed endpoint assistant" in shell.run("apply", "-f", str(folder))
    assert shell.run("diff", "-f", str(folder)) == "4 as declared\n"


def test_a_changed_configuration_is_a_new_version(
    shell: Shell, folder: Path, provider: OpenAiEmulator
) -> None:
    shell.run("apply", "-f", str(folder))
    models = [entity(provider, "gpt", "gpt-4o"), entity(provider, "old")]
    changed(folder, config=endpoint("x", *models)["config"])
    told = shell.run("diff", "-f", str(folder), status=1)
    assert '~ config.served_entities[gpt].external_model.name: "gpt-4" -> "gpt-4o"' in told
    assert "+ config.served_entities[old]" in told
    steps = shell.json("apply", "-f", str(folder))["steps"]
    assert [step["action"] for step in steps] == ["keep", "keep", "keep", "change"]
    assert "version 1 -> 2" in shell.run("endpoints", "diff", "assistant", status=1)
    assert shell.run("diff", "-f", str(folder)) == "4 as declared\n"


def test_what_has_the_label_and_is_in_no_file_is_pruned(
    shell: Shell, folder: Path, rest: Rest, provider: OpenAiEmulator
) -> None:
    rest.create(endpoint("stray", entity(provider), tags=TEAM))
    rest.create(endpoint("foreign", entity(provider), tags=[{"key": "team", "value": "x"}]))
    prune = ("apply", "-f", str(folder), "--prune", "team=support")
    assert "- endpoint stray\n" in shell.run(*prune, "--dry-run")
    assert "deleted endpoint stray\n" in shell.run(*prune)
    names = {one["name"] for one in rest.call("GET", "/api/2.0/serving-endpoints")["endpoints"]}
    assert names == {"assistant", "foreign"}
    changed(folder, tags=[])
    assert "does not have the tag" in shell.error(*prune, status=2)
    assert "KEY=VALUE" in shell.error("diff", "-f", str(folder), "--prune", "team", status=2)


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_is_exported_is_as_declared(
    shell: Shell, folder: Path, form: str, rest: Rest, provider: OpenAiEmulator
) -> None:
    shell.run("apply", "-f", str(folder))
    rest.create({"name": "empty"})
    old = {"rate_limits": [{"calls": 9, "renewal_period": "minute"}]}
    rest.create(endpoint("two", entity(provider, "a"), entity(provider, "b"), **old))
    written = shell.run("export", "-o", form)
    assert provider.api_key not in written
    file = folder.parent / f"export.{form}"
    file.write_text(written)
    assert "to " not in shell.run("diff", "-f", str(file))
    alone = yaml.safe_load(shell.run("export", "endpoints"))
    assert set(alone) == {"endpoints"}


def test_secrets_are_put_when_they_are_missing_or_when_that_is_asked(
    shell: Shell, folder: Path, provider: OpenAiEmulator
) -> None:
    shell.set(OPENAI_KEY="")
    told = shell.error("apply", "-f", str(folder / "people.yaml"), status=2)
    assert "OPENAI_KEY, which is not set" in told
    shell.set(OPENAI_KEY="wrong")
    shell.run("apply", "-f", str(folder))
    shell.error("endpoints", "query", "assistant", "Hello", status=4)
    shell.set(OPENAI_KEY=provider.api_key)
    assert shell.run("apply", "-f", str(folder)) == "4 as declared\n"
    assert "changed secret scope" in shell.run("apply", "-f", str(folder), "--put-secrets")
    assert "heard" in shell.run("endpoints", "query", "assistant", "Hello")


def _wrong(**fields: object) -> Json:
    return {"name": "e", **fields}


PRICE = {
    "provider": "openai",
    "model": "gpt-4o",
    "input_per_million": "2.50",
    "output_per_million": "10",
    "currency": "USD",
}
PLAIN = {
    "served_entities": [{"external_model": {"openai_config": {"openai_api_key_plaintext": "k"}}}]
}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"endpoint": []}, "endpoint is not known; did you mean endpoints?"),
        ({"endpoints": {}}, "endpoints is no list"),
        ({"endpoints": ["x"]}, "something else than objects"),
        ({"endpoints": [{}]}, "has no name"),
        (_wrong(tag=[]), "tag is not known; did you mean tags?"),
        (_wrong(tags={}), "tags is no list"),
        (_wrong(policies={}), "policies is no list"),
        (_wrong(policies=[{"pii": {}}]), "something else than objects with a name"),
        (_wrong(config=PLAIN), "openai_api_key_plaintext is a credential"),
        ({"endpoints": [_wrong(), _wrong()]}, "endpoints has 'e', which"),
        (
            {"groups": [{"displayName": "g", "members": ["nobody"]}]},
            "'nobody', here or in the files",
        ),
        ({"groups": [{"displayName": "g", "members": [1]}]}, "no list of names"),
        ({"secret_scopes": [{"scope": "s", "secrets": [{"key": "k"}]}]}, "from_env or from_file"),
        ({"secret_scopes": [{"scope": "s", "secrets": [{}]}]}, "no list of objects with key"),
        ({"secret_scopes": [{"scope": "s", "acls": [{"principal": "p"}]}]}, "no more or less"),
        ([1], "something else than objects"),
        ({"prices": [{**PRICE, "price": "1"}]}, "prices[0]: price is not known"),
        ({"prices": [{"model": "m"}]}, "prices[0]: provider is missing"),
        ({"prices": [{**PRICE, "input_per_million": 2.5}]}, "must be a number in quotes"),
        ({"prices": [{**PRICE, "from_time": 1}]}, "must be the start of an hour"),
        ({"prices": [PRICE, PRICE]}, "prices[1]: openai gpt-4o since ever has a price already"),
        (
            {"prices": [PRICE, {**PRICE, "model": "x", "currency": "EUR"}]},
            "prices[1]: currency must be USD",
        ),
        ({"prices": [PRICE] * 1001}, "prices may have at most 1000, and has 1001"),
        ({"prices": ["x"]}, "something else than objects"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_before_anything_changes(
    shell: Shell, tmp_path: Path, document: object, words: str
) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(document))
    assert words in shell.error("apply", "-f", str(file), status=2)


def test_what_fails_tells_what_is_left(shell: Shell, folder: Path, rest: Rest) -> None:
    good = json.loads((folder / "endpoints" / "assistant.json").read_text())["config"]
    changed(folder, config={"served_entities": [{"name": "x"}]})
    out, told = shell.both("apply", "-f", str(folder), status=3)
    assert "created secret scope declared" in out
    assert told.startswith("modelplane apply: cannot create endpoint assistant: ")
    # It has its policies, and serves nothing yet.
    changed(folder, config=good)
    assert "changed endpoint assistant" in shell.run("apply", "-f", str(folder))
    assert shell.run("diff", "-f", str(folder)) == "4 as declared\n"
    rest.call("DELETE", "/api/2.0/serving-endpoints/assistant")
    rest.create({"name": "assistant", "description": "Another"})
    assert "description" in shell.error("diff", "-f", str(folder), status=2)
    (folder.parent / "empty").mkdir()
    assert "has no files" in shell.error("diff", "-f", str(folder.parent / "empty"), status=2)


def test_prices_are_declared_as_a_whole(shell: Shell, rest: Rest, tmp_path: Path) -> None:
    def differences(status: int = 1) -> list[str]:
        return shell.run("diff", "-f", str(file), status=status).splitlines()

    file = tmp_path / "prices.yaml"
    later = PRICE | {"from_time": 4_102_444_800_000, "cached_input_per_million": "1"}
    rest.call("PUT", "/api/2.0/prices", {"prices": [PRICE | {"model": "gone"}]})
    try:
        file.write_text(yaml.safe_dump({"prices": [PRICE, later]}))
        told = differences()
        assert told[0] == "~ prices of models"
        assert told[1].startswith(
            '    - prices[openai gone since ever]: {"input_per_million": "2.5"'
        )
        assert told[2].startswith("    + prices[openai gpt-4o since ever]: {")
        assert told[3].startswith("    + prices[openai gpt-4o from 2100-01-01 00:00 on]: {")
        assert shell.run("apply", "-f", str(file)) == "changed prices of models\n"
        assert differences(0) == ["1 as declared"]
        stored = rest.call("GET", "/api/2.0/prices")["prices"]
        assert yaml.safe_load(shell.run("export", "prices")) == {"prices": stored}
        assert [one.get("from_time", 0) for one in stored] == [0, later["from_time"]]
        # Files that have no prices leave them alone.
        other = tmp_path / "other.yaml"
        other.write_text("users: []")
        assert shell.run("apply", "-f", str(other)) == "\n"
        file.write_text(yaml.safe_dump({"prices": [PRICE | {"input_per_million": "3"}, later]}))
        path = "prices[openai gpt-4o since ever].input_per_million"
        assert differences()[1] == f'    ~ {path}: "2.5" -> "3"'
        other.write_text("prices: []")
        twice = shell.error("apply", "-f", str(file), "-f", str(other), status=2)
        assert "prices are declared as a whole" in twice
        shell.run("apply", "-f", str(other))
        assert rest.call("GET", "/api/2.0/prices").get("prices", []) == []
    finally:
        rest.call("PUT", "/api/2.0/prices", {"prices": []})
