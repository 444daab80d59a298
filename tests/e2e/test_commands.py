"""Commands that use a deployment, each against the running one."""

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from tests.e2e.commands import Shell, shell
from tests.e2e.rest import Json, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator

__all__ = ["shell"]


@pytest.fixture(name="chat")
def _chat(rest: Rest, provider: OpenAiEmulator) -> str:
    """Give the name of an endpoint with two models and a limit."""
    limits = [{"key": "user", "calls": 500, "renewal_period": "minute"}]
    gateway = {"rate_limits": limits, "usage_tracking_config": {"enabled": True}}
    models = (entity(provider, "small"), entity(provider, "large", "gpt-4o"))
    rest.create(endpoint("chat", *models, ai_gateway=gateway, description="For \x1b[31mtests"))
    return "chat"


def test_an_endpoint_from_its_definition_to_its_end(
    shell: Shell, provider: OpenAiEmulator, tmp_path: Path
) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(endpoint("chat", entity(provider, "small"))))
    assert shell.run("endpoints", "create", "--json", str(file)) == (
        "created chat: version 1 serves\n"
    )
    config = json.dumps({"served_entities": [entity(provider, "large", "gpt-4o")]})
    assert "version 2 serves" in shell.run("endpoints", "update-config", "chat", "--json", config)
    told = shell.run("endpoints", "patch", "chat", "--tag", "team=a", "--tag", "b")
    assert told == "patched chat: tags are team=a, b\n"
    assert "none" in shell.run(
        "endpoints", "patch", "chat", "--delete-tag", "team", "--delete-tag", "b"
    )
    gateway = '{"rate_limits": [{"key": "user", "calls": 9, "renewal_period": "minute"}]}'
    told = shell.run("endpoints", "put-ai-gateway", "chat", "--json", gateway)
    assert told.endswith("limits: user: 9 calls a minute\n")
    difference = shell.run("endpoints", "diff", "chat", status=1)
    assert '- served_entities[small].external_model.name: "gpt-4"' in difference
    assert '+ served_entities[large].external_model.name: "gpt-4o"' in difference
    assert shell.run("endpoints", "diff", "chat", "2", "2") == "chat: version 2 -> 2\n"
    assert "version 3 serves" in shell.run("endpoints", "rollback", "chat", "1")
    assert shell.run("endpoints", "diff", "chat", "1") == "chat: version 1 -> 3\n"
    versions = shell.json("endpoints", "versions", "chat")["config_versions"]
    assert [one["config_version"] for one in versions] == [3, 2, 1]
    assert json.loads(shell.run("endpoints", "openapi", "chat"))["openapi"]
    assert "# TYPE" in shell.run("endpoints", "metrics", "chat")
    limits = shell.run("endpoints", "limits", "chat").splitlines()
    assert limits[0].split() == ["KEY", "PRINCIPAL", "UNIT", "LIMIT", "TAKEN", "REFUSED"]
    assert limits[1].split() == ["user", "-", "CALLS", "9", "0", "0"]
    # No update is under way.
    assert "no update" in shell.error("endpoints", "cancel", "chat", status=6)
    assert shell.run("endpoints", "delete", "chat") == "deleted chat\n"
    assert "NAME" in shell.run("endpoints", "list")
    assert shell.json("endpoints", "list") == {"endpoints": []}


def test_json_comes_from_standard_input_and_yaml_from_files(
    shell: Shell, provider: OpenAiEmulator, tmp_path: Path
) -> None:
    body = json.dumps(endpoint("ignored", entity(provider)))
    told = shell.run("endpoints", "create", "first", "--json", "-", "--no-wait", typed=body)
    assert told.startswith("created first")
    file = tmp_path / "second.yaml"
    file.write_text(f"# As JSON\nname: second\nconfig: {json.dumps(json.loads(body)['config'])}\n")
    assert "created second" in shell.run("endpoints", "create", "--json", f"@{file}")


def test_an_endpoint_in_words(shell: Shell, chat: str) -> None:
    told = shell.run("endpoints", "get", chat)
    assert re.search(r"^state +ready$", told, re.MULTILINE)
    assert re.search(r"^limits +user: 500 calls a minute$", told, re.MULTILINE)
    assert "small   openai/gpt-4   100 %    ready" in told
    # What others wrote does not steer the terminal.
    assert "\x1b" not in told
    assert r"For \x1b[31mtests" in told


def test_models_are_asked_once_and_in_a_conversation(
    shell: Shell, chat: str, provider: OpenAiEmulator, rest: Rest
) -> None:
    assert shell.run("endpoints", "query", chat, "Hello") == "gpt-4 heard: Hello\n"
    assert shell.run("endpoints", "query", chat, "-", typed="Hello") == "gpt-4 heard: Hello\n"
    assert "gpt-4o heard: Hello" in shell.run(
        "endpoints", "query", chat, "--stream", "--served-entity", "large", "Hello"
    )
    whole = '{"messages": [{"role": "user", "content": "Hi"}], "stream": true}'
    lines = shell.run("endpoints", "query", chat, "--json", whole, "-o", "json").splitlines()
    assert len([json.loads(line) for line in lines]) > 2
    system = ("--system", "Be brief")
    shell.run("endpoints", "query", chat, "Hello", *system, "--max-tokens", "5")
    asked = provider.requests[-1].body
    assert [message["role"] for message in asked["messages"]] == ["system", "user"]
    # They are told of within five seconds.
    series = ("endpoints", "series", chat, "--step", "3600")
    wait_for(lambda: "large" in shell.run(*series))
    assert "REQUESTS" in shell.run(*series)
    said = shell.run("endpoints", "chat", chat, *system, typed="one\ntwo\n/reset\nthree\n/quit\n")
    assert said == "gpt-4 heard: one\ngpt-4 heard: two\ngpt-4 heard: three\n"
    turns = [
        [one["content"] for one in body["messages"]]
        for body in (request.body for request in provider.requests[-3:])
    ]
    assert turns == [
        ["Be brief", "one"],
        ["Be brief", "one", "gpt-4 heard: one", "two"],
        ["Be brief", "three"],
    ]
    rest.create(
        endpoint("embed", entity(provider, "e", "text-embedding-ada-002", "llm/v1/embeddings"))
    )
    assert json.loads(shell.run("endpoints", "query", "embed", "Hello"))["data"]
    assert "does not chat" in shell.error("endpoints", "chat", "embed", status=2)


def test_a_failure_does_not_end_a_conversation(shell: Shell, chat: str) -> None:
    shell.run(
        "endpoints",
        "put-ai-gateway",
        chat,
        "--json",
        '{"rate_limits": [{"key": "endpoint", "calls": 0, "renewal_period": "minute"}]}',
    )
    out, err = shell.both("endpoints", "chat", chat, typed="one\n")
    assert out == ""
    assert "rate limit" in err.lower()
    assert "rate limit" in shell.error("endpoints", "query", chat, "one", status=6).lower()


def test_secrets(shell: Shell, tmp_path: Path) -> None:
    assert "created" in shell.run("secrets", "create-scope", "cli")
    shell.set(KEY="k-1")
    told = shell.run("secrets", "put", "cli", "one", "--from-env", "KEY")
    assert told == "put {{secrets/cli/one}}\n"
    (tmp_path / "key").write_text("k-2\n")
    shell.run("secrets", "put", "cli", "two", "--from-file", str(tmp_path / "key"))
    shell.run("secrets", "put", "cli", "three", typed="k-3")
    assert "not set" in shell.error(
        "secrets", "put", "cli", "one", "--from-env", "NO_KEY", status=2
    )
    assert "empty" in shell.error("secrets", "put", "cli", "one", status=2)
    listed = shell.run("secrets", "list", "cli")
    assert all(f"\n{key} " in listed for key in ("one", "two", "three"))
    assert "k-1" not in listed
    assert "cli" in shell.run("secrets", "list-scopes")
    shell.run("secrets", "put-acl", "cli", "users", "READ")
    assert re.search(r"^users +READ$", shell.run("secrets", "list-acls", "cli"), re.MULTILINE)
    shell.run("secrets", "delete-acl", "cli", "users")
    assert "users" not in shell.run("secrets", "list-acls", "cli")
    shell.run("secrets", "delete", "cli", "one")
    shell.run("secrets", "delete-scope", "cli")
    assert "cli" in shell.error("secrets", "list", "cli", status=5)


def test_people_their_groups_tokens_and_permissions(
    shell: Shell, chat: str, system: System
) -> None:
    assert "created user ann" in shell.run("users", "create", "ann", "--display-name", "Ann")
    shell.run("groups", "create", "support", "--member", "ann")
    shell.run("groups", "remove-members", "support", "ann")
    assert "members of support: Ann" in shell.run("groups", "add-members", "support", "ann")
    assert "Ann" in shell.run("groups", "get", "support")
    assert "support" in shell.run("groups", "list")
    token = shell.run("tokens", "create", "--for", "ann", "--lifetime", "7d").strip()
    grant = ("permissions", "grant", chat, "CAN_QUERY", "--group", "support")
    assert re.search(r"^support +group +CAN_QUERY +no$", shell.run(*grant), re.MULTILINE)
    assert "CAN_MANAGE" in shell.run("permissions", "levels", chat)
    shell.set(MODELPLANE_TOKEN=token)
    assert shell.run("users", "me").startswith(f"ann at {system.url} (MODELPLANE_URL)")
    assert "heard" in shell.run("endpoints", "query", chat, "Hello")
    shell.error("endpoints", "delete", chat, status=4)
    shell.error("users", "list", status=4)
    mine = shell.json("tokens", "create", "--comment", "laptop", "--lifetime", "90m")
    assert "laptop" in shell.run("tokens", "list")
    shell.run("tokens", "delete", mine["token_info"]["token_id"])
    shell.set(MODELPLANE_TOKEN=system.token)
    assert "ann" in shell.run("tokens", "list", "--all")
    assert "deleted group" in shell.run("groups", "delete", "support")


def test_grants_are_changed_and_people_shut_out(shell: Shell, chat: str, system: System) -> None:
    shell.run("users", "create", "ann", "--display-name", "Ann")
    shell.run("groups", "create", "support")
    token = shell.run("tokens", "create", "--for", "ann").strip()
    shell.run("permissions", "grant", chat, "CAN_QUERY", "--group", "support")
    told = shell.run("permissions", "revoke", chat, "--group", "support")
    assert "support" not in told
    shell.error("permissions", "revoke", chat, "--group", "support", status=5)
    acl = '{"access_control_list": [{"user_name": "ann", "permission_level": "CAN_VIEW"}]}'
    assert "CAN_VIEW" in shell.run("permissions", "set", chat, "--json", acl)
    assert "CAN_VIEW" in shell.run("permissions", "get", chat)
    assert "may not call" in shell.run("users", "deactivate", "ann")
    assert re.search(r"^ann +Ann +no", shell.run("users", "get", "ann"), re.MULTILINE)
    shell.set(MODELPLANE_TOKEN=token)
    shell.error("users", "me", status=4)
    shell.set(MODELPLANE_TOKEN=system.token)
    assert "may call again" in shell.run("users", "activate", "ann")
    assert "deleted user ann" in shell.run("users", "delete", "ann")
    assert "users list" in shell.error("users", "get", "ann", status=5)
    assert "admin" in shell.run("users", "list")


def test_programs_log_in_by_themselves(shell: Shell, system: System) -> None:
    made = shell.json("service-principals", "create", "nightly")
    client_id = made["applicationId"]
    secret = shell.run("service-principals", "create-secret", "nightly").strip()
    [listed] = shell.json("service-principals", "list-secrets", client_id)["secrets"]
    file = shell.directory / ".databrickscfg"
    login = f"client_id = {client_id}\nclient_secret = {secret}\n"
    file.write_text(f"[DEFAULT]\n\n[robot]\nhost = {system.url}\n{login}")
    assert shell.run("users", "me", "--profile", "robot").startswith(client_id)
    shell.set(MODELPLANE_URL="", MODELPLANE_TOKEN="")
    sdk = {"DATABRICKS_HOST": system.url, "DATABRICKS_CLIENT_ID": client_id}
    shell.set(**sdk, DATABRICKS_CLIENT_SECRET=secret)
    assert "(DATABRICKS_HOST)" in shell.run("users", "me")
    shell.set(DATABRICKS_CLIENT_SECRET="wrong")
    assert "DATABRICKS_HOST" in shell.error("users", "me", status=4)
    shell.set(DATABRICKS_TOKEN=system.token)
    shell.run("service-principals", "delete-secret", "nightly", listed["id"])
    assert "nightly" in shell.run("service-principals", "list")
    assert client_id in shell.run("service-principals", "get", "nightly")
    assert "deleted" in shell.run("service-principals", "delete", client_id)


def test_who_manages_an_endpoint_sees_its_usage(shell: Shell, chat: str) -> None:
    shell.run("users", "create", "ann")
    shell.run("permissions", "grant", chat, "CAN_MANAGE", "--user", "ann")
    token = shell.run("tokens", "create", "--for", "ann").strip()
    shell.set(MODELPLANE_TOKEN=token)
    shell.run("endpoints", "query", chat, "Hello")
    grouped = ("usage", "--endpoint", chat, "--group-by", "requester")
    wait_for(lambda: re.search(r"^ann +1 ", shell.run(*grouped), re.MULTILINE) is not None)
    assert "ann" in shell.run("usage", "--endpoint", chat, "--format", "csv")
    assert "--endpoint" in shell.error("usage", status=4)


@pytest.mark.usefixtures("chat")
def test_status_tells_parts_revisions_and_limits(shell: Shell, system: System) -> None:
    told = shell.run("status", "--data-dir", str(system.data_dir))
    assert re.search(r"^worker-2 +runs +\d+ +\d+$", told, re.MULTILINE)
    assert re.search(r"^chat +ready +1  user: 500 calls a minute$", told, re.MULTILINE)

    def revisions() -> set[int]:
        return {
            part["revision"]
            for part in shell.json("status", "--data-dir", str(system.data_dir))["parts"]
            if part["name"].startswith(("worker", "control"))
        }

    # What is not waited for, such as the end of a test before, reaches each by itself.
    wait_for(lambda: len(revisions()) == 1)
    # From elsewhere only what the API says.
    shell.set(MODELPLANE_URL="", DATABRICKS_HOST=system.url, DATABRICKS_TOKEN=system.token)
    assert "worker-2" not in shell.run("status")


def test_what_cannot_be_is_one_line_that_says_what_to_do(
    shell: Shell, chat: str, system: System, tmp_path: Path
) -> None:
    assert "does not exist" in shell.error("endpoints", "get", "no", status=5)
    again = ("endpoints", "create", chat, "--json", "{}")
    assert "already exists" in shell.error(*again, status=6)
    assert "is not JSON" in shell.error("endpoints", "create", "--json", "{", status=2)
    assert "cannot read" in shell.error("endpoints", "create", "--json", "no.json", status=2)
    assert "--tag" in shell.error("endpoints", "patch", chat, status=2)
    assert "a text or --json" in shell.error("endpoints", "query", chat, status=2)
    assert "no logs" in shell.error("endpoints", "logs", chat, status=5)
    unknown = '{"name": "x", "confg": {}}'
    assert "config" in shell.error("endpoints", "create", "--json", unknown, status=3)
    shell.set(MODELPLANE_TOKEN="wrong")
    assert "MODELPLANE_URL" in shell.error("endpoints", "list", status=4)
    shell.set(MODELPLANE_TOKEN="")
    # This machine's token is not handed to whoever asks for it elsewhere.
    elsewhere = ("endpoints", "list", "--url", "http://192.0.2.1", "--data-dir")
    (tmp_path / "admin-token").write_text(system.token)
    assert "set MODELPLANE_TOKEN" in shell.error(*elsewhere, str(tmp_path), status=4)
    shell.set(MODELPLANE_URL="")
    assert "modelplane up" in shell.error("endpoints", "list", status=2)
    assert "no deployment runs" in shell.error(
        "endpoints", "list", "--data-dir", str(tmp_path), status=7
    )
    assert "no http or https URL" in shell.error("endpoints", "list", "--url", "x:1", status=2)
    assert "no profile x" in shell.error("endpoints", "list", "-p", "x", status=2)


def test_what_a_provider_says_is_told_in_words(
    shell: Shell, rest: Rest, provider: OpenAiEmulator
) -> None:
    rest.create(endpoint("lost", entity(provider, "x", "no-such-model")))
    told = shell.error("endpoints", "query", "lost", "Hello", status=5)
    assert "openai says: The model `no-such-model` does not exist" in told


@pytest.mark.usefixtures("chat")
def test_the_doctor_finds_a_deployment_that_runs_well(shell: Shell, system: System) -> None:
    directory = ("doctor", "--data-dir", str(system.data_dir))
    shell.set(MODELPLANE_ALLOWED_UPSTREAMS="127.0.0.1")
    findings = shell.json(*directory)["findings"]
    subjects = {one["subject"]: one for one in findings}
    assert subjects["port"]["text"] == f"a deployment answers at {system.url}"
    assert "(chat/small, chat/large)" in subjects["egress"]["text"]
    assert {one["level"] for one in findings} <= {"ok", "warning", "skipped"}
    assert shell.run(*directory).endswith("\nno problems\n")
    shell.set(MODELPLANE_ALLOWED_UPSTREAMS="")
    told = shell.run(*directory, status=1)
    assert "-> if it may serve models, allow it with MODELPLANE_ALLOWED_UPSTREAMS=" in told


def test_guardrails_are_set_and_tried(shell: Shell, chat: str, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(
        "policies:\n"
        "- {name: mail, action: mask, pii: {entities: [EMAIL_ADDRESS]}}\n"
        "- {name: words, mode: log, keywords: {words: [falcon]}}\n"
    )
    told = shell.run("guardrails", "set", chat, "--json", str(file))
    assert told == "set the policies of chat: mail, words\n"
    listed = shell.run("guardrails", "get", chat)
    assert listed.splitlines()[0].split()[:3] == ["NAME", "RANK", "PHASES"]
    assert "words" in listed
    told = shell.run("guardrails", "check", "a@b.example: falcon", "--name", chat)
    assert told.splitlines()[0] == "MASK: <EMAIL_ADDRESS>: falcon"
    assert "INVALID_KEYWORD at 13 to 19, by 'words' (log)" in told
    blocked = '{"guardrails": {"output": {"invalid_keywords": ["falcon"]}}}'
    shell.run(
        *("guardrails", "check", "A falcon", "--json", blocked, "--direction", "output"), status=1
    )
    assert "--name" in shell.error("guardrails", "check", "Hi", status=2)


def test_prices_are_set_and_costs_follow(
    shell: Shell, rest: Rest, provider: OpenAiEmulator
) -> None:
    tracked = {"usage_tracking_config": {"enabled": True}}
    rest.create(endpoint("priced", entity(provider), ai_gateway=tracked))
    shell.run("endpoints", "query", "priced", "Hello")
    by_model = ("usage", "--endpoint", "priced", "--group-by", "provider,model")

    def used() -> list[Json]:
        found: list[Json] = shell.json(*by_model)["totals"]
        return found

    wait_for(lambda: any(total["output_token_count"] for total in used()))
    [total] = used()
    assert (total["cost"], total["unpriced_requests"]) == (None, 1)
    model = (total["provider"], total["model"])
    shell.run("prices", "set", *model, "--input-price", "1", "--output-price", "1000000")
    try:
        [total] = used()
        tokens = total["input_token_count"], total["output_token_count"]
        assert Decimal(total["cost"]) == Decimal(tokens[0]) / 10**6 + tokens[1]
        assert (total["currency"], total["unpriced_requests"]) == ("USD", 0)
        later = ("--from", "2999-01-01T05:00")
        shell.run("prices", "set", *model, *later, "--input-price", "2", "--output-price", "2")
        listed = shell.run("prices", "list")
        assert re.search(r"since ever +1 [ -]+1000000 +USD *$", listed, re.MULTILINE)
        assert re.search(r"from 2999-01-01 05:00 on +2 [ -]+2 +USD *$", listed, re.MULTILINE)
        half_past = ("--from", "2999-01-01T05:30", "--input-price", "2", "--output-price", "2")
        refused = shell.error("prices", "set", *model, *half_past, status=3)
        assert "start of an hour" in refused
        shell.run("prices", "delete", *model, *later)
        assert "since ever" in shell.run("prices", "list")
        assert "has no price from" in shell.error("prices", "delete", *model, *later, status=5)
    finally:
        shell.run("prices", "delete", *model)
