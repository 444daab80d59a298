"""Secrets through the public port: their permissions as the SDK sets them, and other stores."""

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.dbutils import RemoteDbUtils
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.workspace import AclItem, AclPermission

from tests.e2e.principals import Principals
from tests.e2e.rest import CHAT, Rest, endpoint, entity
from tests.e2e.system import System, run_system, wait_for
from tests.emulators import amazon_json, hashicorp_vault
from tests.emulators.amazon_kms import ARN, KmsEmulator
from tests.emulators.amazon_secrets_manager import SecretsManagerEmulator
from tests.emulators.emulator import running_in_thread
from tests.emulators.hashicorp_vault import VaultEmulator
from tests.emulators.openai import OpenAiEmulator

NEW_KEY = "sk-emulated-key-after-its-rotation"
STORES = {
    "in-environment": "ENVIRONMENT",
    "in-files": "FILES",
    "in-secrets-manager": "AWS_SECRETS_MANAGER",
    "in-vault": "HASHICORP_VAULT",
}


def connect(system: System, token: str) -> WorkspaceClient:
    return WorkspaceClient(config=Config(host=system.url, token=token, auth_type="pat"))


def test_the_sdk_manages_who_may_use_a_scope(system: System) -> None:
    with Principals(system) as principals:
        owner = connect(system, principals.add_user("owner@example.com")).secrets
        member = connect(system, principals.add_user("member@example.com", ["writers"])).secrets
        owner.create_scope("owned")
        owner.put_secret("owned", "key", string_value="hidden")
        with pytest.raises(NotFound):
            list(member.list_secrets("owned"))
        assert "owned" not in [scope.name for scope in member.list_scopes()]

        owner.put_acl("owned", "writers", AclPermission.WRITE)
        member.put_secret("owned", "other", string_value="hidden")
        assert [item.key for item in member.list_secrets("owned")] == ["key", "other"]
        with pytest.raises(PermissionDenied, match="needs MANAGE"):
            member.delete_scope("owned")
        assert owner.get_acl("owned", "writers").permission is AclPermission.WRITE
        assert list(owner.list_acls("owned")) == [
            AclItem(permission=AclPermission.MANAGE, principal="owner@example.com"),
            AclItem(permission=AclPermission.WRITE, principal="writers"),
        ]

        owner.delete_acl("owned", "writers")
        with pytest.raises(NotFound):
            member.put_secret("owned", "other", string_value="hidden")
        owner.delete_scope("owned")


def test_values_are_not_returned_to_the_sdk(system: System) -> None:
    workspace = connect(system, system.token)
    workspace.secrets.create_scope("closed")
    workspace.secrets.put_secret("closed", "key", string_value="hidden")
    with pytest.raises(PermissionDenied, match=r"\{\{secrets/closed/key\}\}"):
        workspace.secrets.get_secret("closed", "key")
    assert isinstance(workspace.dbutils, RemoteDbUtils)
    with pytest.raises(PermissionDenied):
        workspace.dbutils.secrets.get("closed", "key")
    workspace.secrets.delete_scope("closed")


def test_a_user_needs_read_to_refer_to_a_secret(system: System, provider: OpenAiEmulator) -> None:
    with Principals(system) as principals:
        token = principals.add_user("user@example.com")
        with Rest(system, token) as user, Rest(system) as admin:
            refused = user.send(
                "POST", "/api/2.0/serving-endpoints", endpoint("c", entity(provider))
            )
            assert refused.status_code == 400
            assert "{{secrets/my_scope/my_openai_api_key}}" in refused.json()["message"]
            acl = {"scope": "my_scope", "principal": "user@example.com"}
            admin.call("POST", "/api/2.0/secrets/acls/put", acl | {"permission": "READ"})
            user.create(endpoint("c", entity(provider)))
            assert user.query("c", CHAT).status_code == 200
            admin.call("POST", "/api/2.0/secrets/acls/delete", acl)
            assert user.query("c", CHAT).status_code == 200


@dataclass
class Elsewhere:
    """A system whose master key and secrets are kept elsewhere."""

    system: System
    files: Path
    manager: SecretsManagerEmulator
    vault: VaultEmulator
    kms: KmsEmulator

    def put(self, value: str) -> None:
        """Put a value where it can be changed while the system runs."""
        (self.files / "key").write_text(value)
        self.manager.secrets["models/key"] = value
        self.vault.secrets["models"] = {"key": value}


@pytest.fixture(scope="module")
def elsewhere(
    tmp_path_factory: pytest.TempPathFactory, provider: OpenAiEmulator
) -> Iterator[Elsewhere]:
    directory = tmp_path_factory.mktemp("elsewhere")
    (directory / "files").mkdir()
    (directory / "token").write_text(hashicorp_vault.TOKEN)
    with ExitStack() as stack:
        manager = stack.enter_context(running_in_thread(SecretsManagerEmulator))
        vault = stack.enter_context(running_in_thread(VaultEmulator))
        kms = stack.enter_context(running_in_thread(KmsEmulator))
        declared = {
            "in-environment": {"prefix": "TEAM_"},
            "in-files": {"directory": str(directory / "files")},
            "in-secrets-manager": {"region": amazon_json.REGION, "prefix": "models/"},
            "in-vault": {
                "address": vault.origin,
                "path": "models",
                "token_file": str(directory / "token"),
            },
        }
        stores = {scope: {"backend": STORES[scope]} | declared[scope] for scope in STORES}
        settings = {
            "MODELPLANE_MASTER_KEY_KMS": ARN,
            "MODELPLANE_SECRET_STORES": json.dumps(stores),
            "MODELPLANE_SECRET_POLL_SECONDS": "0.1",
            "TEAM_key": provider.api_key,
            **amazon_json.environment("KMS", kms.origin),
            **amazon_json.environment("SECRETS_MANAGER", manager.origin),
        }
        system = stack.enter_context(run_system(directory / "data", settings=settings))
        yield Elsewhere(system, directory / "files", manager, vault, kms)


def test_secrets_of_other_stores_are_used_and_followed(
    elsewhere: Elsewhere, provider: OpenAiEmulator
) -> None:
    old_key = provider.api_key
    elsewhere.put(old_key)
    with Rest(elsewhere.system) as rest:
        listed = rest.call("GET", "/api/2.0/secrets/scopes/list")["scopes"]
        assert {scope["name"]: scope["backend_type"] for scope in listed} == STORES
        for scope in STORES:
            keys = rest.call("GET", f"/api/2.0/secrets/list?scope={scope}")["secrets"]
            assert [item["key"] for item in keys] == ["key"]
            served = entity(provider, openai_api_key=f"{{{{secrets/{scope}/key}}}}")
            rest.create(endpoint(scope, served))
            assert rest.query(scope, CHAT).status_code == 200

        try:
            provider.api_key = NEW_KEY
            elsewhere.put(NEW_KEY)
            for scope in [scope for scope in STORES if scope != "in-environment"]:
                wait_for(lambda scope=scope: _both_answer(rest, scope))  # type: ignore[misc]
                shown = rest.call("GET", f"/api/2.0/serving-endpoints/{scope}")
                assert shown["config"]["config_version"] == 1
            elsewhere.vault.sealed = True
            elsewhere.manager.refused = "InternalServiceError"
            _wait_for_log(elsewhere.system, "a store of secrets is away")
            assert rest.query("in-vault", CHAT).status_code == 200
        finally:
            provider.api_key = old_key
            elsewhere.vault.sealed = False
            elsewhere.manager.refused = ""
    _assert_nothing_leaks(elsewhere.system, [old_key, NEW_KEY, hashicorp_vault.TOKEN])
    assert "Encrypt" in elsewhere.kms.operations
    assert not (elsewhere.system.data_dir / "master-key").exists()


def _both_answer(rest: Rest, name: str) -> bool:
    """Query often enough to reach both workers: each learns of a new key by itself."""
    return all(rest.query(name, CHAT).status_code == 200 for _ in range(8))


def _wait_for_log(system: System, message: str) -> None:
    log = system.data_dir / "logs" / "control-plane.log"
    wait_for(lambda: message in log.read_text())


def _assert_nothing_leaks(system: System, secrets: list[str]) -> None:
    for path in system.data_dir.rglob("*"):
        if path.is_file() and "token" not in path.name:
            content = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in content, path
                assert base64.b64encode(secret.encode()) not in content, path
