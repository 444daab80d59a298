"""Measures a new value of a secret that many endpoints use: on SQLite, in one process.

CPU time of the control plane's statements and messages, and of a worker. Called by `bench.scale`.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from random import Random

from modelserving.v1.endpoint_pb2 import EndpointConfig, ServedEntity
from modelserving.v1.external_model_pb2 import ExternalModel, OpenAiConfig
from modelserving.worker.v1.snapshot_service_pb2 import WatchConfigResponse

from bench.report import Row
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.secrets.references import revise_users
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.encoding import Encodings
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.secrets.scopes import put_secret
from modelplane.control_plane.store.secrets.sealed import secret_place
from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.snapshot import Snapshot

_NAME = ("bench", "key")
_ROTATIONS = 3


async def measure(database: Database, path: Path, endpoints: int) -> list[Row]:
    """Return what each endpoint costs whose secret is replaced, and what it costs at a start."""
    sealer = Sealer(FixedKeys(bytes(32)))
    _fill(path, endpoints, await sealer.seal(b"sk-0", secret_place(_NAME)))
    cache = SnapshotCache(database, ResourceBuilder(CredentialResolver(sealer)))
    await cache.load()
    encodings = Encodings(cache)
    started = time.process_time()
    held = _start_worker(encodings)
    label = f"each of {endpoints:,} endpoints with one secret"
    rows = [Row(f"{label}: worker starts", _micros(started, endpoints), "µs CPU")]
    costs = []
    for number in range(_ROTATIONS):
        sealed = await sealer.seal(f"sk-{number}".encode(), secret_place(_NAME))
        started = time.process_time()
        async with database.write() as transaction:
            await put_secret(transaction, _NAME, sealed, 1)
            await revise_users(transaction, _NAME)
        await cache.refresh()
        message = encodings.delta_after(held.revision)
        assert message is not None
        pushed = _micros(started, endpoints)
        started = time.process_time()
        held = _apply(held, message.data)
        assert held.revision == cache.revision
        costs.append((pushed, _micros(started, endpoints)))
    control_plane, worker = (min(column) for column in zip(*costs, strict=True))
    return [
        *rows,
        Row(f"{label} that is replaced: control plane", control_plane, "µs CPU", "below 50"),
        Row(f"{label} that is replaced: worker", worker, "µs CPU"),
    ]


def _start_worker(encodings: Encodings) -> Snapshot:
    builder = SnapshotBuilder(Snapshot(), Random(1), empty=True)
    revision = 0
    for part in encodings.snapshot():
        chunk = WatchConfigResponse.FromString(part.data).snapshot
        builder.put_endpoints(builder.endpoints_of(chunk))
        revision = chunk.revision
    return builder.build(revision, "")


def _apply(held: Snapshot, data: bytes) -> Snapshot:
    delta = WatchConfigResponse.FromString(data).delta
    builder = SnapshotBuilder(held, Random(1))
    builder.apply(delta)
    return builder.build(delta.revision, "")


def _micros(started: float, endpoints: int) -> float:
    return 1e6 * (time.process_time() - started) / endpoints


def _fill(path: Path, endpoints: int, sealed: bytes) -> None:
    """Store endpoints that serve a model with one secret."""
    reference = f"{{{{secrets/{_NAME[0]}/{_NAME[1]}}}}}"
    model = ExternalModel(
        name="gpt",
        provider="openai",
        task="llm/v1/chat",
        openai_config=OpenAiConfig(openai_api_key=reference),
    )
    entity = ServedEntity(name="gpt", creation_timestamp=1, external_model=model)
    config = EndpointConfig(served_entities=[entity], config_version=1).SerializeToString()
    ids = [f"{number:032x}" for number in range(endpoints)]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO secret_scope(name, creator, created_ms, acl_json, backend)"
            " VALUES (?, 'bench', 1, '{}', 'DATABRICKS')",
            _NAME[:1],
        )
        connection.execute(
            "INSERT INTO secret(scope, key, sealed, updated_ms) VALUES (?, ?, ?, 1)",
            (*_NAME, sealed),
        )
        connection.executemany(
            "INSERT INTO endpoint(id, name, creator, creator_id, grants_json, created_ms,"
            " updated_ms, settings, last_version, active_version, phase, phase_revision,"
            " last_update, last_update_message, ready, stopped, activated_revision) VALUES"
            " (?, 'e-' || ?, 'a', '1', '{\"1\": \"CAN_MANAGE\"}', 1, 1, x'', 1, 1, '', 0,"
            " 'NOT_UPDATING', '', 1, 0, 0)",
            [(one, one) for one in ids],
        )
        connection.executemany(
            "INSERT INTO endpoint_config(endpoint_id, version, config, hosted, creator,"
            " created_ms, outcome, outcome_message) VALUES (?, 1, ?, x'', 'a', 1, 'ACTIVE', '')",
            [(one, config) for one in ids],
        )
        connection.executemany(
            "INSERT INTO secret_reference(endpoint_id, version, scope, key) VALUES (?, 1, ?, ?)",
            [(one, *_NAME) for one in ids],
        )
