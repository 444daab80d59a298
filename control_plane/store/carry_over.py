"""Carries a database of before the first release over to the first release's schema.

What an endpoint consists of was JSON then, and is the messages themselves since; which secrets it
refers to has rows of its own. All other tables are the same.

Before: the command `carry_over`. After: `migrate`, the initial migration, which makes the tables.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import orjson
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from google.protobuf import json_format
from google.protobuf.message import Message
from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.endpoint_pb2 import EndpointConfig, EndpointTag, RateLimit
from modelserving.worker.v1.snapshot_pb2 import IssuerResource, VerificationKey

from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.migrate import (
    OLD_SCHEMAS,
    check_schema,
    config_of,
    lock_schema,
)
from modelplane.control_plane.store.secrets.scopes import SecretName

M = TypeVar("M", bound=Message)

_Rows = list[dict[str, Any]]
_FIRST_SCHEMA = "0011"
# Tables that change, and those that refer to them: each after what it refers to.
_TABLES = ("issuer", "endpoint", "endpoint_config", "credential", "endpoint_metrics")


async def carry_over(
    database: Database, references_of: Callable[[EndpointConfig], Collection[SecretName]]
) -> int:
    """Change the schema and all that is stored in it, or nothing; return the number of endpoints.

    Args:
        database: The database, which nobody uses.
        references_of: Finds the secrets that a configuration refers to.

    Raises:
        StoreUnavailable: The database does not answer.
        DatabaseUnusable: It has another schema than the last one before the first release.
    """
    async with database.change_schema() as connection:
        await connection.run_sync(lock_schema)
        await connection.run_sync(check_schema, f"The database {database.place}", OLD_SCHEMAS[-1])
        return await connection.run_sync(_carry_over, references_of)


def _carry_over(
    connection: sa.Connection,
    references_of: Callable[[EndpointConfig], Collection[SecretName]],
) -> int:
    rows = {table: _read(connection, table) for table in _TABLES}
    _remake_tables(connection)
    new = {
        **rows,
        "issuer": [_issuer(row) for row in rows["issuer"]],
        "endpoint": [_endpoint(row) for row in rows["endpoint"]],
        "endpoint_config": [_version(row) for row in rows["endpoint_config"]],
    }
    new["secret_reference"] = _references(new["endpoint_config"], references_of)
    for table, items in new.items():
        _insert(connection, table, items)
    return len(new["endpoint"])


def _read(connection: sa.Connection, table: str) -> _Rows:
    return [dict(row) for row in connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()]  # noqa: S608 - a name from `_TABLES`


def _insert(connection: sa.Connection, table: str, rows: _Rows) -> None:
    if rows:
        columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in rows[0]]
        connection.execute(sa.table(table, *columns).insert(), rows)


def _remake_tables(connection: sa.Connection) -> None:
    script = ScriptDirectory.from_config(config_of(connection))
    initial: Any = script.get_revision(_FIRST_SCHEMA).module
    with Operations.context(MigrationContext.configure(connection)) as operations:
        for table in reversed(_TABLES):
            operations.drop_table(table)
        initial.create_issuers()
        initial.create_endpoints()
        operations.add_column("quota", initial.used_quota())
    # Alembic's own way to say so wants to know the schema that was there.
    new = {"schema": _FIRST_SCHEMA}
    connection.execute(sa.text("UPDATE alembic_version SET version_num = :schema"), new)


def _issuer(row: Mapping[str, Any]) -> dict[str, Any]:
    resource = _parse(row["settings_json"], IssuerResource)
    resource.keys.extend(_parse_all(row["keys_json"], VerificationKey))
    return {"issuer": row["issuer"], "resource": resource.SerializeToString()}


def _endpoint(row: Mapping[str, Any]) -> dict[str, Any]:
    gateway = row["ai_gateway_json"]
    settings = EndpointSettings(
        description=row["description"],
        tags=_parse_all(row["tags_json"], EndpointTag),
        rate_limits=_parse_all(row["rate_limits_json"], RateLimit),
        ai_gateway=_parse(gateway, AiGatewayConfig) if gateway else None,
    )
    gone = {
        "description",
        "tags_json",
        "rate_limits_json",
        "ai_gateway_json",
        # Never anything else than NULL.
        "budget_policy_id",
        "email_notifications_json",
    }
    kept = {name: value for name, value in row.items() if name not in gone}
    return kept | {"settings": settings.SerializeToString()}


def _version(row: Mapping[str, Any]) -> dict[str, Any]:
    config = _parse(row["config_json"], EndpointConfig)
    config.config_version = row["version"]
    kept = {name: value for name, value in row.items() if name != "config_json"}
    return kept | {"config": config.SerializeToString()}


def _references(
    versions: Iterable[Mapping[str, Any]],
    references_of: Callable[[EndpointConfig], Collection[SecretName]],
) -> _Rows:
    return [
        {
            "endpoint_id": row["endpoint_id"],
            "version": row["version"],
            "scope": scope,
            "key": key,
        }
        for row in versions
        for scope, key in references_of(EndpointConfig.FromString(row["config"]))
    ]


def _parse(text: str, cls: type[M]) -> M:
    return json_format.ParseDict(orjson.loads(text), cls(), ignore_unknown_fields=True)


def _parse_all(text: str, cls: type[M]) -> list[M]:
    return [
        json_format.ParseDict(item, cls(), ignore_unknown_fields=True)
        for item in orjson.loads(text)
    ]
