"""Past versions of an endpoint's configuration: list, read, compare.

Before: `servicer`. After: `store.endpoints.records`. Beside: `lifecycle`, which rolls back.
"""

from collections.abc import AsyncGenerator, Iterator

import orjson
from google.protobuf import json_format
from modelserving.v1.endpoint_pb2 import EndpointConfig
from modelserving.v1.endpoint_service_pb2 import ConfigDifference

from modelplane.control_plane.endpoints.lookup import find_endpoint
from modelplane.control_plane.endpoints.pages import bad_token
from modelplane.control_plane.errors import NotFound
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import records
from modelplane.control_plane.store.endpoints.records import StoredVersion

_AT_A_TIME = 20
_MAX_DIGITS = 9
# Names the items of a list in a path.
_ITEM_NAMES = ("name", "served_entity_name")


class ConfigHistory:
    """Reads the versions of endpoints."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_all(
        self, principal: Principal, name: str, page_token: str = ""
    ) -> AsyncGenerator[StoredVersion]:
        """Yield the versions after those of a page, newest first.

        They are read a few at a time: each may be long, and not all may be wanted.

        Raises:
            NotFound: There is no such endpoint.
            InvalidParameter: The token is none.
        """
        before = _parse_token(page_token)
        while True:
            async with self._database.read() as session:
                record = await find_endpoint(session, principal, name)
                found = await records.list_versions(session, record.id, before, _AT_A_TIME)
            for version in found:
                yield version
            if len(found) < _AT_A_TIME:
                return
            before = found[-1].version

    async def get(self, principal: Principal, name: str, version: int) -> StoredVersion:
        """Return one version.

        Raises:
            NotFound: There is no such endpoint or version.
        """
        async with self._database.read() as session:
            record = await find_endpoint(session, principal, name)
            found = await records.find_version(session, record.id, version)
        if found is None:
            raise NotFound(f"Endpoint '{name}' has no configuration version {version}.")
        return found

    async def compare(
        self, principal: Principal, name: str, old: int, new: int
    ) -> list[ConfigDifference]:
        """Return every value that differs between two versions, ordered by path.

        Raises:
            NotFound: There is no such endpoint or version.
        """
        before = await self.get(principal, name, old)
        after = await self.get(principal, name, new)
        return compare_configs(before.config, after.config)


def compare_configs(old: EndpointConfig, new: EndpointConfig) -> list[ConfigDifference]:
    """Return every value that differs, ordered by path.

    Credentials given in plaintext are not part of a configuration, so they are not compared.
    """
    before, after = _values(old), _values(new)
    return [
        ConfigDifference(path=path, from_value=before.get(path), to_value=after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def _parse_token(page_token: str) -> int | None:
    if not page_token:
        return None
    if len(page_token) > _MAX_DIGITS or not (page_token.isascii() and page_token.isdecimal()):
        raise bad_token()
    return int(page_token)


def _values(config: EndpointConfig) -> dict[str, str]:
    content = EndpointConfig()
    content.CopyFrom(config)
    content.ClearField("config_version")
    for entity in content.served_entities:
        entity.ClearField("creator")
        entity.ClearField("creation_timestamp")
    for route in content.traffic_config.routes:
        route.ClearField("served_model_name")
    fields = json_format.MessageToDict(
        content, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return dict(_flatten(fields, ""))


def _flatten(value: object, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _flatten(item, f"{path}.{key}" if path else str(key))
        case list():
            for position, item in enumerate(value):
                yield from _flatten(item, f"{path}[{_item_name(item, position)}]")
        case _:
            yield path, orjson.dumps(value).decode()


def _item_name(item: object, position: int) -> str:
    if isinstance(item, dict):
        for key in _ITEM_NAMES:
            if item.get(key):
                return str(item[key])
    return str(position)
