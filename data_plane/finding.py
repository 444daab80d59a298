"""Finds the endpoint and the configuration that a call asks, for those who may ask them.

Used by `invocation.py` and `models.py`; after: `calls/model_names.py`, `access.py`.
"""

from collections.abc import Sequence
from itertools import islice

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.tasks import PATHS
from modelplane.data_plane.access import authorize, level_of
from modelplane.data_plane.calls.model_names import nearest, resolve
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.calls.tasks import fits
from modelplane.data_plane.errors import (
    EndpointNotFound,
    EndpointNotReady,
    EndpointUnserved,
    InvalidParameter,
)
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import CAN_QUERY, Config, Endpoint, Snapshot

# Endpoints among which a name is looked for that is like one which nobody has.
_LOOKED_AT = 1_000


def find_endpoint(
    snapshot: Snapshot, principal: Principal, name: str, record: Record, *, by_model: bool = False
) -> Endpoint:
    """Return the endpoint of a name that the principal may query.

    Args:
        snapshot: Has the endpoints.
        principal: Who calls.
        name: The name.
        record: Gets the endpoint.
        by_model: Whether it is a client's name for a model.
    """
    names = snapshot.names
    found = resolve(names, snapshot.aliases, name) if by_model else names.get(name)
    endpoint = record.endpoint = found
    if endpoint is None:
        raise EndpointNotFound
    authorize(principal, endpoint)
    return endpoint


def find_model(snapshot: Snapshot, principal: Principal, name: str, record: Record) -> Endpoint:
    """Return the endpoint that a client means by a model's name; arguments as of `find_endpoint`.

    Raises:
        EndpointNotFound: There is none; the error names those that are called alike.
    """
    try:
        return find_endpoint(snapshot, principal, name, record, by_model=True)
    except EndpointNotFound:
        raise EndpointNotFound(_similar(snapshot, principal, name)) from None


def _similar(snapshot: Snapshot, principal: Principal, name: str) -> Sequence[str]:
    """Return the names most like one among endpoints that the principal may query."""
    seen = (
        endpoint.name
        for endpoint in islice(snapshot.names.values(), _LOOKED_AT)
        if level_of(principal, endpoint) >= CAN_QUERY
    )
    return nearest(seen, name)


def name_in(body: JsonObject) -> str:
    """Return the endpoint that the body names, in the manner of the OpenAI API."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise InvalidParameter("'model' must be the name of a serving endpoint.")
    return name


def active_config(endpoint: Endpoint, task: str) -> Config:
    """Return the configuration that serves, which must be for `task` if that is not empty."""
    config = endpoint.active
    if config is None:
        if endpoint.obstacle:
            raise EndpointUnserved(
                f"Endpoint '{endpoint.name}' serves nothing: {endpoint.obstacle}."
            )
        raise EndpointNotReady(
            f"The first configuration of endpoint '{endpoint.name}' is not active yet; try again."
        )
    if task and not fits(task, config.task):
        route = PATHS.get(config.task, f"/serving-endpoints/{endpoint.name}/invocations")
        raise InvalidParameter(
            f"Endpoint '{endpoint.name}' serves {config.task or 'no language model task'}: "
            f"send the request to {route}."
        )
    return config
