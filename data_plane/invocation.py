"""The story of a call: find the endpoint, check the caller, pick a served entity, answer.

The steps are `access.py`, `calls/query.py`, `upstreams/choice.py`, `limits/admission.py` and
`upstreams/attempts.py`; a host (`hosts/`) brings the call. Everything is decided from one
snapshot, so a change never shows half.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import orjson

from modelplane.adapters.providers.types import JsonObject, Query, tokens_of
from modelplane.adapters.shared.rpc.metadata import REQUEST_ID, TOKENS_ESTIMATED
from modelplane.adapters.shared.rpc.status import INTERNAL
from modelplane.adapters.shared.tasks import PATHS
from modelplane.data_plane.access import authenticate, authorize, level_of
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.bodies import SMALL_BYTES, Bodies
from modelplane.data_plane.calls.call import Call, Method, Reply
from modelplane.data_plane.calls.hosted_query import build_hosted_query, skim_body
from modelplane.data_plane.calls.labels import parse_labels
from modelplane.data_plane.calls.model_names import resolve
from modelplane.data_plane.calls.native import (
    NativeCall,
    build_native_hosted_query,
    build_native_query,
)
from modelplane.data_plane.calls.query import build_query, parse_body
from modelplane.data_plane.calls.record import CLIENT_CLOSED, Record, attempt_headers
from modelplane.data_plane.calls.refusals import Refused, settle
from modelplane.data_plane.calls.tasks import fits, spec_of
from modelplane.data_plane.errors import (
    STATUS_TABLE,
    EndpointNotFound,
    EndpointNotReady,
    EndpointUnserved,
    InvalidParameter,
)
from modelplane.data_plane.limits.admission import Ending, Gate
from modelplane.data_plane.payloads.log import PayloadLog
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import (
    CAN_QUERY,
    Config,
    Endpoint,
    Snapshot,
    Snapshots,
)
from modelplane.data_plane.upstreams.attempts import Attempts
from modelplane.data_plane.upstreams.choice import choose
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.hops import count_hops

# What of a query is read by a model.
_COUNTED = ("system", "messages", "tools")


class Inference:
    """Answers calls from the current snapshot."""

    def __init__(
        self,
        snapshots: Snapshots,
        attempts: Attempts,
        gate: Gate,
        accountant: Accountant,
        wall_ms: Callable[[], float],
        bodies: Bodies,
        payloads: PayloadLog,
    ) -> None:
        """Answer from `snapshots`.

        Args:
            snapshots: Holds the configuration that serves.
            attempts: Carries queries to providers.
            gate: Admits queries.
            accountant: Told of every call.
            wall_ms: Wall time, milliseconds since the epoch.
            bodies: Bounds what bodies take.
            payloads: Records those of endpoints that have a table.
        """
        self._bodies = bodies
        self._payloads = payloads
        self._snapshots = snapshots
        self._attempts = attempts
        self._gate = gate
        self._accountant = accountant
        self._wall_ms = wall_ms

    async def answer(self, call: Call, reply: Reply) -> None:
        """Answer a call and account for it; see `call.Service`."""
        record = self._accountant.open(call.request_id, call.metadata)
        failure: Exception | None = None
        try:
            await self._answer(call, reply, record)
        except asyncio.CancelledError:
            record.status = CLIENT_CLOSED
            raise
        except Exception as error:
            failure = error
            record.status = (STATUS_TABLE.status_of(error) or INTERNAL).http
            self._accountant.note_error(record, error)
            if headers := attempt_headers(record):
                raise Refused(settle(error, call.request_id, headers)) from error
            raise
        finally:
            if record.held_bytes:
                self._bodies.give_back(record)
            if record.endpoint is not None and record.endpoint.payloads is not None:
                self._payloads.close(record, call, failure)
            self._accountant.close(record)

    async def _answer(self, call: Call, reply: Reply, record: Record) -> None:
        snapshot = self._snapshots.current
        now_ms = self._wall_ms()
        principal = record.principal = authenticate(snapshot, call.metadata, now_ms)
        if call.method is Method.LIST_MODELS:
            await _list_models(snapshot, principal, call, reply)
            return
        if call.method is Method.GET_MODEL:
            await _get_model(snapshot, principal, call, reply)
            return
        endpoint, config, query = await self._receive(snapshot, principal, call, record)
        if call.method is Method.COUNT_TOKENS:
            await _count_tokens(query, call, reply)
            return
        hops = count_hops(call.metadata)
        record.stream = query.stream
        if record.capture is not None:
            reply = self._payloads.reply(record, reply)
        spec = spec_of(config.task)
        candidates = choose(endpoint, config, call.served_model_name, call.metadata)
        admission = await self._gate.admit(endpoint, principal, query, spec)
        record.entity = candidates[0]
        ending = Ending.CANCELLED
        try:
            self._accountant.begin(record, query)
            exchange = Exchange(call, reply, record, endpoint, query, admission, hops)
            await self._attempts.answer(exchange, candidates)
            ending = Ending.ANSWERED
        except Exception:
            ending = Ending.FAILED
            raise
        finally:
            admission.settle(record.usage, ending)

    async def _receive(
        self, snapshot: Snapshot, principal: Principal, call: Call, record: Record
    ) -> tuple[Endpoint, Config, Query]:
        """Return who is asked and what; where the head names the endpoint, the body is read after.

        What was parsed is held by the query alone, which may let it go before the answer.
        """
        if call.name:
            _find_endpoint(snapshot, principal, call.name, record)
        if call.receive is not None:
            call.arriving = partial(self._bodies.hold, record)
            await call.receive(call)
        elif len(call.body) > SMALL_BYTES:
            self._bodies.hold(record, len(call.body))
        raw = call.body
        # It would be held until the answer.
        call.body = b""
        native = call.native
        if native is not None:
            return self._receive_native(snapshot, principal, call, record, native, raw)
        endpoint = record.endpoint
        if endpoint is None and not call.task:
            endpoint = _find_endpoint(snapshot, principal, call.name, record)
        self._note_request(record, call, raw)
        hosted = endpoint is not None and endpoint.active is not None and endpoint.active.hosted
        body = skim_body(raw) if hosted else parse_body(raw)
        if endpoint is None:
            endpoint = _find_endpoint(snapshot, principal, _name_in(body), record, by_model=True)
            self._note_request(record, call, raw)
        config = record.config = _active_config(endpoint, call.task)
        record.labels = parse_labels(body, call.metadata)
        if config.hosted:
            return endpoint, config, build_hosted_query(body, raw)
        return endpoint, config, build_query(spec_of(config.task), body)

    def _note_request(self, record: Record, call: Call, raw: bytes | JsonObject) -> None:
        """Let what was asked be recorded, where the endpoint has a table for it."""
        if record.endpoint is not None and record.endpoint.payloads is not None:
            record.capture = record.capture or self._payloads.open(record, call, raw)

    def _receive_native(
        self,
        snapshot: Snapshot,
        principal: Principal,
        call: Call,
        record: Record,
        native: NativeCall,
        raw: bytes | JsonObject,
    ) -> tuple[Endpoint, Config, Query]:
        """Return who is asked and what, for a request in another form than the canonical one."""
        body = native.complete(parse_body(raw))
        endpoint = _find_endpoint(snapshot, principal, _name_in(body), record, by_model=True)
        self._note_request(record, call, raw)
        config = record.config = _active_config(endpoint, call.task)
        record.labels = parse_labels(body, call.metadata)
        if config.hosted:
            return endpoint, config, build_native_hosted_query(native, body)
        given = raw if isinstance(raw, bytes) else b""
        spec = spec_of(config.task)
        return endpoint, config, build_native_query(native, spec, given, body, config.entities)


def _find_endpoint(
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
    endpoint = record.endpoint = resolve(names, name) if by_model else names.get(name)
    if endpoint is None:
        raise EndpointNotFound
    authorize(principal, endpoint)
    return endpoint


def _name_in(body: JsonObject) -> str:
    """Return the endpoint that the body names, in the manner of the OpenAI API."""
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise InvalidParameter("'model' must be the name of a serving endpoint.")
    return name


def _active_config(endpoint: Endpoint, task: str) -> Config:
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


async def _list_models(snapshot: Snapshot, principal: Principal, call: Call, reply: Reply) -> None:
    models = [
        _model(endpoint, endpoint.active)
        for endpoint in sorted(snapshot.names.values(), key=lambda item: item.name)
        if endpoint.active and level_of(principal, endpoint) >= CAN_QUERY
    ]
    document = reply.encode({"object": "list", "data": models})
    await reply.answer(((REQUEST_ID, call.request_id),), document)


async def _count_tokens(query: Query, call: Call, reply: Reply) -> None:
    """Tell about how many tokens a query has, as limits take it too."""
    prompt = {name: query.body[name] for name in _COUNTED if name in query.body}
    document = reply.encode({"input_tokens": max(1, tokens_of(len(orjson.dumps(prompt))))})
    await reply.answer(((REQUEST_ID, call.request_id), (TOKENS_ESTIMATED, "true")), document)


async def _get_model(snapshot: Snapshot, principal: Principal, call: Call, reply: Reply) -> None:
    if call.receive is not None:
        await call.receive(call)
    endpoint = snapshot.names.get(call.name)
    if endpoint is None:
        raise EndpointNotFound
    authorize(principal, endpoint)
    document = reply.encode(_model(endpoint, _active_config(endpoint, "")))
    await reply.answer(((REQUEST_ID, call.request_id),), document)


def _model(endpoint: Endpoint, config: Config) -> JsonObject:
    return {
        "id": endpoint.name,
        "object": "model",
        "created": config.created,
        "owned_by": config.entities[0].provider or "modelplane",
    }
