"""Tells clients which models there are: the endpoints that they may query.

Used by `invocation.py`.
"""

from operator import itemgetter

from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import REQUEST_ID
from modelplane.data_plane.access import authorize, level_of
from modelplane.data_plane.calls.call import Call, Method, Reply
from modelplane.data_plane.errors import EndpointNotFound
from modelplane.data_plane.finding import active_config
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import CAN_QUERY, Config, Endpoint, Snapshot


async def _list_models(snapshot: Snapshot, principal: Principal, call: Call, reply: Reply) -> None:
    models: list[JsonObject] = []
    for endpoint in snapshot.names.values():
        config = endpoint.active
        if config is None or level_of(principal, endpoint) < CAN_QUERY:
            continue
        model = _model(endpoint, config)
        models.append(model)
        if call.native is not None:
            model["task"] = config.task
            # Some clients show nothing else than what has names of a certain form.
            models += [{**model, "id": alias} for alias in endpoint.aliases]
    models.sort(key=itemgetter("id"))
    document = reply.encode({"object": "list", "data": models})
    await reply.answer(((REQUEST_ID, call.request_id),), document)


async def _get_model(snapshot: Snapshot, principal: Principal, call: Call, reply: Reply) -> None:
    if call.receive is not None:
        await call.receive(call)
    by_alias = {} if call.native is None else snapshot.aliases
    endpoint = snapshot.names.get(call.name) or by_alias.get(call.name)
    if endpoint is None:
        raise EndpointNotFound
    authorize(principal, endpoint)
    config = active_config(endpoint, "")
    model = _model(endpoint, config)
    if call.native is not None:
        model |= {"id": call.name, "task": config.task}
    await reply.answer(((REQUEST_ID, call.request_id),), reply.encode(model))


def _model(endpoint: Endpoint, config: Config) -> JsonObject:
    return {
        "id": endpoint.name,
        "object": "model",
        "created": config.created,
        "owned_by": config.entities[0].provider or "modelplane",
    }


MODELS = {Method.LIST_MODELS: _list_models, Method.GET_MODEL: _get_model}
