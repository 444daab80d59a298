"""What fields of requests do that no other test here is about."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.principals import Principals
from tests.e2e.references import refer
from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator
from tests.emulators.openai.azure import DEPLOYMENTS

SCIM = "/api/2.0/preview/scim/v2"
SECRETS = "/api/2.0/secrets"
TOKENS = "/api/2.0/token"
ON_BEHALF = "/api/2.0/token-management/on-behalf-of/tokens"
ROBOT = "7c0d1e2f-0000-4000-8000-00000000cafe"


@pytest.fixture
def scope(rest: Rest) -> Iterator[str]:
    rest.call("POST", f"{SECRETS}/scopes/create", {"scope": "of-fields"})
    yield "of-fields"
    # What is in use is not deleted.
    for made in rest.call("GET", ENDPOINTS)["endpoints"]:
        rest.call("DELETE", f"{ENDPOINTS}/{made['name']}")
    rest.call("POST", f"{SECRETS}/scopes/delete", {"scope": "of-fields"})


def refused(rest: Rest, path: str, body: Json, words: str, status: int = 400) -> None:
    answer = rest.send("POST", path, body)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["message"]


@pytest.mark.parametrize("form", ["string_value", "bytes_value"])
def test_a_secret_may_be_text_or_bytes(
    rest: Rest, provider: OpenAiEmulator, scope: str, form: str
) -> None:
    key = provider.api_key
    value = key if form == "string_value" else base64.b64encode(key.encode()).decode()
    rest.call("POST", f"{SECRETS}/put", {"scope": scope, "key": "key", form: value})
    rest.create(endpoint("of-bytes", entity(provider, openai_api_key="{{secrets/of-fields/key}}")))
    assert rest.query("of-bytes", CHAT).status_code == 200


@pytest.mark.parametrize("by_reference", [False, True], ids=["plaintext", "reference"])
@pytest.mark.parametrize("auth", ["bearer_token_auth", "api_key_auth"])
def test_a_custom_provider_is_reached_with_its_credential(
    rest: Rest, provider: OpenAiEmulator, auth: str, *, by_reference: bool
) -> None:
    # Azure takes its key in a header of its own.
    deployment, name = next(iter(DEPLOYMENTS.items()))
    azure = f"/openai/deployments/{deployment}/chat/completions?api-version=2024-10-21"
    path, field, more = {
        "bearer_token_auth": ("/v1/chat/completions", "token", {}),
        "api_key_auth": (azure, "value", {"key": "api-key"}),
    }[auth]
    external: Json = {
        "name": name,
        "provider": "custom",
        "task": "llm/v1/chat",
        "custom_provider_config": {
            "custom_provider_url": provider.origin + path,
            auth: more | {f"{field}_plaintext": provider.api_key},
        },
    }
    if by_reference:
        external = refer(rest, "of-custom", external)
        assert f"{field}_plaintext" not in external["custom_provider_config"][auth]
    served = [{"name": "own", "external_model": external}]
    rest.create({"name": "custom", "config": {"served_entities": served}})
    assert rest.query("custom", CHAT).status_code == 200


def test_a_scope_may_be_everyones(system: System, rest: Rest, scope: str) -> None:
    created = {"scope": "everyones", "initial_manage_principal": "users"}
    rest.call("POST", f"{SECRETS}/scopes/create", created | {"scope_backend_type": "DATABRICKS"})
    with Principals(system) as principals, Rest(system, principals.add_user("any")) as user:
        secret = {"key": "key", "string_value": "value"}
        user.call("POST", f"{SECRETS}/put", secret | {"scope": "everyones"})
        assert user.send("POST", f"{SECRETS}/put", secret | {"scope": scope}).status_code == 404
    rest.call("POST", f"{SECRETS}/scopes/delete", {"scope": "everyones"})
    create = f"{SECRETS}/scopes/create"
    refused(rest, create, {"scope": "x", "initial_manage_principal": "ann"}, "initial_manage")
    refused(rest, create, {"scope": "x", "scope_backend_type": "AZURE_KEYVAULT"}, "scope_backend")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ({"formatted": "Ann of All", "givenName": "Ann"}, "Ann of All"),
        ({"givenName": "Ann", "familyName": "Lee"}, "Ann Lee"),
        ({"familyName": "Lee"}, "Lee"),
    ],
)
def test_a_person_is_shown_by_the_parts_of_their_name(rest: Rest, name: Json, shown: str) -> None:
    made = rest.call("POST", f"{SCIM}/Users", {"userName": "ann@names.test", "name": name})
    rest.call("DELETE", f"{SCIM}/Users/{made['id']}")
    assert made["displayName"] == shown


@pytest.mark.parametrize("path", [f"{TOKENS}/create", ON_BEHALF])
def test_what_a_token_is_made_with(rest: Rest, path: str) -> None:
    body: Json = {"comment": "of fields", "lifetime_seconds": 60}
    if path == ON_BEHALF:
        body["application_id"] = "admin"
    info = rest.call("POST", path, body)["token_info"]
    assert info["comment"] == "of fields"
    assert info["expiry_time"] - info["creation_time"] == 60_000
    for limited in ({"scopes": ["serving"]}, {"autoscope_enabled": True}):
        refused(rest, path, body | limited, "leave out scopes and autoscoping", 501)
    off = rest.call("POST", path, body | {"scopes": [], "autoscope_enabled": False})["token_info"]
    for token in (info, off):
        rest.call("POST", f"{TOKENS}/delete", {"token_id": token["token_id"]})
    if path == ON_BEHALF:
        refused(rest, path, body | {"application_id": "nobody"}, "no service principal", 404)


def test_what_a_client_secret_is_made_with(rest: Rest) -> None:
    robot = rest.call("POST", f"{SCIM}/ServicePrincipals", {"applicationId": ROBOT})
    path = f"/api/2.0/accounts/servicePrincipals/{robot['id']}/credentials/secrets"
    made: Any = rest.call("POST", path, {"lifetime": "90s", "scopes": ["all-apis"]})
    [listed] = rest.call("GET", path)["secrets"]
    assert made["expire_time"] == listed["expire_time"] != listed["create_time"]
    longest = rest.call("POST", path, {})
    assert longest["expire_time"] > made["expire_time"]
    refused(rest, path, {"lifetime": "soon"}, "lifetime must be in seconds")
    refused(rest, path, {"scopes": ["sql"]}, "scopes must be ['all-apis']")
    refused(rest, path.replace(robot["id"], "999"), {}, "no service principal", 404)
    assert rest.send("DELETE", f"{path}/other").status_code == 404
    rest.call("DELETE", f"{path}/{made['id']}")
    assert [one["id"] for one in rest.call("GET", path)["secrets"]] == [longest["id"]]
    rest.call("DELETE", f"{SCIM}/ServicePrincipals/{robot['id']}")
