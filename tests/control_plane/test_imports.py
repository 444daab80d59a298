"""A control plane loads what its deployment uses, and nothing else: the rest stays for ever."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# Serves until a call has been answered, as `__main__` does, and tells what is loaded by then.
_SERVE = """
import asyncio, json, sys

import grpc
from modelserving.v1.endpoint_service_pb2 import ListServingEndpointsRequest
from modelserving.v1.endpoint_service_pb2_grpc import EndpointServiceStub
from prometheus_client import CollectorRegistry

import modelplane.control_plane.__main__
from modelplane.control_plane.secrets.keyring import opened_keyring
from modelplane.control_plane.server.serving import serving
from modelplane.control_plane.settings import load_settings

async def main():
    settings = load_settings(sys.argv[1:])
    async with (
        opened_keyring(settings) as keyring,
        serving(settings, keyring, CollectorRegistry()) as ports,
        grpc.aio.insecure_channel(f"127.0.0.1:{ports.api}") as channel,
    ):
        await EndpointServiceStub(channel).ListServingEndpoints(
            ListServingEndpointsRequest(), metadata=(("authorization", "Bearer admin"),)
        )
    print(json.dumps(sorted(sys.modules)))

asyncio.run(main())
"""
# Each takes megabytes, or stands for what does: who needs one loads it then.
_HEAVY = {
    "alembic": "a database that lacks a migration",
    "aiohttp": "outside issuers, and registries of models",
    "asyncpg": "PostgreSQL",
    "sqlalchemy.dialects.postgresql": "PostgreSQL",
    "yaml": "a registry's models",
    "pygments": "nothing; Alembic brings it",
    "aioboto3": "a registry in S3",
    "deltalake": "payload tables, which workers write",
    "mlflow": "nothing but the models themselves",
}


@pytest.fixture(autouse=True)
def admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELPLANE_ADMIN_TOKEN", "admin")


def loaded(database_url: str, directory: Path) -> set[str]:
    """Return the packages and modules that a control plane has loaded by its first answer."""
    place = ("--database-url", database_url, "--data-dir", str(directory))
    ports = ("--control-plane-listen", "127.0.0.1:0", "--snapshot-listen", "127.0.0.1:0")
    told = subprocess.run(
        [sys.executable, "-c", _SERVE, *place, *ports], check=True, capture_output=True, timeout=300
    )
    modules = json.loads(told.stdout)
    return {*modules, *(name.partition(".")[0] for name in modules)}


def test_nothing_is_loaded_that_an_idle_deployment_does_not_use(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    found = loaded(migrated_sqlite_url, tmp_path)
    assert "sqlalchemy" in found
    assert not found & _HEAVY.keys()


def test_the_first_start_which_makes_the_database_loads_no_more(tmp_path: Path) -> None:
    found = loaded(f"sqlite:///{tmp_path / 'new.db'}", tmp_path)
    assert not found & _HEAVY.keys()
