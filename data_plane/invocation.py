"""The story of a call: find the endpoint, check the caller, pick a served entity, answer.

The steps are `access.py`, `calls/query.py`, `upstreams/choice.py`, `limits/admission.py` and
`upstreams/attempts.py`; a host (`hosts/`) brings the call. Everything is decided from one
snapshot, so a change never shows half.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from operator import itemgetter

import orjson

from modelplane.adapters.providers.types import JsonObject, Query, tokens_of
from modelplane.adapters.shared.rpc.metadata import REQUEST_ID, TOKENS_ESTIMATED
from modelplane.adapters.shared.rpc.status import INTERNAL
from modelplane.adapters.shared.tasks import PATHS
from modelplane.data_plane.access import authenticate, authorize, level_of
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.bodies import SMALL_BYTES, Bodies
from modelplane.data_plane.calls.call import Call, Method, Reply
from modelplane.data_plane.calls.guarding import ModelRefusal, arm, look_through
from modelplane.data_plane.calls.hosted_query import build_hosted_query, skim_body
from modelplane.data_plane.calls.labels import parse_labels
from modelplane.data_plane.calls.model_names import nearest, resolve
from modelplane.data_plane.calls.native import (
    NativeCall,
    build_native_hosted_query,
    build_native_query,
    build_translated_query,
)
from modelplane.data_plane.calls.query import build_query, parse_body
from modelplane.data_plane.calls.record import CLIENT_CLOSED, Record, attempt_headers
from modelplane.data_plane.calls.refusals import Refused, settle
from modelplane.data_plane.calls.tasks import fits, spec_of
from modelplane.data_plane.checking import check_guardrails
from modelplane.data_plane.errors import (
    STATUS_TABLE,
    EndpointNotFound,
    EndpointNotReady,
    EndpointUnserved,
    GuardrailTriggered,
    InvalidParameter,
)
from modelplane.data_plane.guardrails.cleared import Cleared
from modelplane.data_plane.guardrails.policy import Guardrails
from modelplane.data_plane.limits.admission import Ending, Gate
from modelplane.data_plane.payloads.log import PayloadLog
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import (
    CAN_QUERY,
    Config,
    Endpoint,
    ServedEntity,
    Snapshot,
    Snapshots,
)
from modelplane.data_plane.upstreams.attempts import Attempts
from modelplane.data_plane.upstreams.choice import choose
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.hops import count_hops

# What of a query is read by a model.
_COUNTED = (
    "system",
    "messages",
    "tools",
    "contents",
    "systemInstruction",
    "generateContentRequest",
)
# Answers a call that is no query.
_Teller = Callable[[Snapshot, Principal, Call, Reply], Awaitable[None]]
# Endpoints among which a name is looked for that is like one which nobody has.
_LOOKED_AT = 1_000


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
        self._cleared = Cleared()
        self._others: Mapping[Method, _Teller] = {
            **_MODELS,
            Method.CHECK_GUARDRAILS: partial(check_guardrails, self),
        }
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
        principal = record.principal = call.judges_for or authenticate(
            snapshot, call.metadata, self._wall_ms()
        )
        if tell := self._others.get(call.method):
            await tell(snapshot, principal, call, reply)
            return
        endpoint, config, query = await self._receive(snapshot, principal, call, record)
        if call.method is Method.COUNT_TOKENS:
            await self._count_tokens(endpoint, config, query, call, reply)
            return
        hops = count_hops(call.metadata)
        record.stream = query.stream
        if record.capture is not None:
            reply = self._payloads.reply(record, reply)
        spec = spec_of(config.task)
        candidates = choose(endpoint, config, call.served_model_name, call.metadata)
        admission = await self._gate.admit(endpoint, principal, query, spec)
        record.entity = candidates[0]
        exchange = Exchange(call, reply, record, endpoint, query, admission, hops)
        ending = Ending.CANCELLED
        try:
            self._accountant.begin(record, query)
            if endpoint.guardrails is None:
                await self._attempts.answer(exchange, candidates)
            else:
                await self._answer_guarded(exchange, candidates, endpoint.guardrails, config)
            ending = Ending.ANSWERED
        except Exception:
            ending = Ending.FAILED
            raise
        finally:
            admission.settle(record.usage, ending)

    async def _count_tokens(
        self, endpoint: Endpoint, config: Config, query: Query, call: Call, reply: Reply
    ) -> None:
        """Tell how many tokens a query has: what the provider says, else what limits take."""
        count, told = None, [(REQUEST_ID, call.request_id)]
        # What guardrails may block does not go to the provider unseen.
        if query.native is not None and query.native.body and endpoint.guardrails is None:
            # What most of the traffic goes to.
            name = max(config.shares, key=itemgetter(1))[0]
            entity = config.entity(name) or config.entities[0]
            hops = count_hops(call.metadata)
            count = await self._attempts.count_tokens(entity, query.native, hops, endpoint.id)
        if count is None:
            prompt = {name: query.body[name] for name in _COUNTED if name in query.body}
            count = max(1, tokens_of(len(orjson.dumps(prompt))))
            told.append((TOKENS_ESTIMATED, "true"))
        await reply.answer(tuple(told), reply.encode({"input_tokens": count}))

    async def _answer_guarded(
        self,
        exchange: Exchange,
        candidates: Sequence[ServedEntity],
        guardrails: Guardrails,
        config: Config,
    ) -> None:
        """Answer a query that guardrails look through before, and whose answer they do."""
        call, record, query = exchange.call, exchange.record, exchange.query
        arm(record, call, guardrails, (self, self._cleared))
        try:
            await look_through(record, query, config)
            await self._attempts.answer(exchange, candidates)
        except GuardrailTriggered as error:
            spec = spec_of(config.task)
            if not call.answers_blocks or not spec.generates:
                raise
            self._accountant.note_error(record, error)
            frame: JsonObject = {
                "id": f"blocked-{call.request_id}",
                "created": int(self._wall_ms() / 1000),
                "model": exchange.endpoint.name,
            }
            refusal = ModelRefusal(error, spec, frame)
            metadata = ((REQUEST_ID, call.request_id), *exchange.admission.headers)
            await refusal.answer(exchange.reply, metadata, stream=query.stream)

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
        guarded = endpoint is not None and endpoint.guardrails is not None
        body = skim_body(raw) if hosted and not guarded else parse_body(raw)
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
        name = _name_in(body)
        try:
            endpoint = _find_endpoint(snapshot, principal, name, record, by_model=True)
        except EndpointNotFound:
            raise EndpointNotFound(_similar(snapshot, principal, name)) from None
        self._note_request(record, call, raw)
        config = record.config = _active_config(endpoint, call.task)
        record.labels = parse_labels(body, call.metadata)
        if config.hosted:
            return endpoint, config, build_native_hosted_query(native, body)
        if endpoint.guardrails is not None:
            # What passes untranslated nothing could look through.
            return endpoint, config, build_translated_query(native, spec_of(config.task), body)
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
    found = resolve(names, snapshot.aliases, name) if by_model else names.get(name)
    endpoint = record.endpoint = found
    if endpoint is None:
        raise EndpointNotFound
    authorize(principal, endpoint)
    return endpoint


def _similar(snapshot: Snapshot, principal: Principal, name: str) -> Sequence[str]:
    """Return the names most like one among endpoints that the principal may query."""
    seen = (
        endpoint.name
        for endpoint in islice(snapshot.names.values(), _LOOKED_AT)
        if level_of(principal, endpoint) >= CAN_QUERY
    )
    return nearest(seen, name)


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
    config = _active_config(endpoint, "")
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


_MODELS = {Method.LIST_MODELS: _list_models, Method.GET_MODEL: _get_model}
