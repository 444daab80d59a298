"""Says what a create or an update would do: it is done, in a transaction that is rolled back.

So it is refused for whatever the call itself is refused for, but for what workers find. Before:
`servicer`. After: `lifecycle`.
"""

from collections.abc import Awaitable

from modelserving.v1.endpoint_pb2 import EndpointConfig
from modelserving.v1.endpoint_service_pb2 import (
    ConfigDifference,
    CreateServingEndpointRequest,
    UpdateServingEndpointConfigRequest,
)

from modelplane.control_plane.endpoints.config_history import compare_configs
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.validation import check_endpoint_name
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.database import Database, Transaction, current_companion
from modelplane.control_plane.store.endpoints import records
from modelplane.control_plane.store.endpoints.records import StoredEndpoint


class _Withdrawn(Exception):
    """Ends a transaction that has done all that was asked for."""

    def __init__(self, record: StoredEndpoint) -> None:
        super().__init__()
        self.record = record


class _Withdrawal:
    """Goes with each transaction of a call, and takes back the one that changes an endpoint.

    Others, such as one that copies secrets of another store, are what checking takes.
    """

    def __init__(self, name: str, before: StoredEndpoint | None) -> None:
        self._name = name
        self._before = _state_of(before)

    async def join(self, transaction: Transaction) -> None:
        """Take the transaction back once the endpoint is another."""
        record = await records.find(transaction.session, self._name)
        if record is not None and _state_of(record) != self._before:
            raise _Withdrawn(record)

    def committed(self) -> None:
        """Learn of one that was not taken back."""


class Trial:
    """Tries changes of endpoints."""

    def __init__(self, database: Database, endpoints: Endpoints) -> None:
        self._database = database
        self._endpoints = endpoints

    async def create(
        self, principal: Principal, request: CreateServingEndpointRequest
    ) -> list[ConfigDifference]:
        """Return what would be served, as differences from nothing.

        Raises:
            ApiError: The endpoint would not be created, for that reason.
        """
        check_endpoint_name(request.name)
        async with self._database.read() as session:
            before = await records.find(session, request.name)
        made = await _try(request.name, before, self._endpoints.create(principal, request))
        return _differences(None, made)

    async def update(
        self, principal: Principal, request: UpdateServingEndpointConfigRequest
    ) -> list[ConfigDifference]:
        """Return every value that would differ from what is served.

        Raises:
            ApiError: The configuration would not be rolled out, for that reason.
        """
        name = request.name
        before = await self._endpoints.get_managed(principal, name)
        change = self._endpoints.update_config(principal, name, request.config)
        return _differences(before, await _try(name, before, change))


async def _try(
    name: str, before: StoredEndpoint | None, change: Awaitable[StoredEndpoint]
) -> StoredEndpoint:
    """Return the endpoint as the change would have left it."""
    # In place of the event of the audit log: nothing is changed that it could tell of.
    token = current_companion.set(_Withdrawal(name, before))
    try:
        await change
    except _Withdrawn as withdrawn:
        return withdrawn.record
    finally:
        current_companion.reset(token)
    raise AssertionError("a change of an endpoint was no change of it")


def _state_of(record: StoredEndpoint | None) -> tuple[str, int] | None:
    return (record.id, record.last_version) if record else None


def _differences(before: StoredEndpoint | None, after: StoredEndpoint) -> list[ConfigDifference]:
    served = before.active.config if before and before.active else EndpointConfig()
    return compare_configs(served, after.pending.config if after.pending else EndpointConfig())
