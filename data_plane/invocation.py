"""The story of a call: find the endpoint, check the caller, pick a served entity, answer.

The steps are `access.py`, `finding.py`, `calls/query.py`, `upstreams/choice.py`,
`limits/admission.py` and `upstreams/attempts.py`; a host (`hosts/`) brings the call. What asks no
model goes to `models.py` and `token_counts.py`. Everything is decided from one snapshot, so a
change never shows half.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from modelplane.adapters.providers.types import JsonObject, Query, Task
from modelplane.adapters.shared.rpc.metadata import REQUEST_ID
from modelplane.adapters.shared.rpc.status import INTERNAL
from modelplane.data_plane.access import authenticate
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.bodies import SMALL_BYTES, Bodies
from modelplane.data_plane.calls.aside import Aside
from modelplane.data_plane.calls.call import Call, Method, Reply
from modelplane.data_plane.calls.guarding import Means, ModelRefusal, arm, look_through
from modelplane.data_plane.calls.hosted_query import build_hosted_query, skim_body
from modelplane.data_plane.calls.labels import parse_labels
from modelplane.data_plane.calls.native import (
    NativeCall,
    build_native_hosted_query,
    build_native_query,
    build_translated_query,
    is_of_responses,
)
from modelplane.data_plane.calls.query import build_query, parse_body
from modelplane.data_plane.calls.record import CLIENT_CLOSED, Record, attempt_headers
from modelplane.data_plane.calls.refusals import Refused, settle
from modelplane.data_plane.calls.tasks import spec_of
from modelplane.data_plane.checking import check_guardrails
from modelplane.data_plane.errors import STATUS_TABLE, GuardrailTriggered
from modelplane.data_plane.finding import active_config, find_endpoint, find_model, name_in
from modelplane.data_plane.guardrails.cleared import Cleared
from modelplane.data_plane.guardrails.policy import Guardrails
from modelplane.data_plane.limits.admission import Ending, Gate
from modelplane.data_plane.models import MODELS
from modelplane.data_plane.payloads.log import PayloadLog
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import (
    Config,
    Endpoint,
    ServedEntity,
    Snapshot,
    Snapshots,
)
from modelplane.data_plane.token_counts import count_tokens
from modelplane.data_plane.upstreams.attempts import Attempts
from modelplane.data_plane.upstreams.choice import choose
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.hops import count_hops

# Answers a call that is no query.
_Teller = Callable[[Snapshot, Principal, Call, Reply], Awaitable[None]]


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
        self._aside = Aside()
        self._means = Means(self, Cleared(), self._aside)
        self._others: Mapping[Method, _Teller] = {
            **MODELS,
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
            # It knows where it came from, and so this call: each would hold the other.
            failure = None
            self._accountant.close(record)
            if record.court is None or not record.court.waiting:
                self._conclude(record, call)
            else:
                then = partial(self._conclude, record, call, judged=True)
                self._aside.follow(record.court.waiting, then)

    def _conclude(self, record: Record, call: Call, *, judged: bool = False) -> None:
        """Write down a call of which nothing more is to be known.

        Args:
            record: The call's.
            call: The call.
            judged: Whether judges have been asked beside it.
        """
        self._accountant.conclude(record)
        if judged and record.capture is not None:
            self._payloads.amend(record)
        if record.endpoint is not None and record.endpoint.telemetry is not None:
            self._payloads.tell(record, call)

    async def finish(self, seconds: float) -> None:
        """Bring to its end what calls have left to be done, when none is under way.

        Args:
            seconds: How long that may take.
        """
        await self._aside.finish(seconds)

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
            await count_tokens(self._attempts, endpoint, config, query, call, reply)
            return
        reply = call.reply or reply
        hops = count_hops(call.metadata)
        record.stream = query.stream
        if record.capture is not None:
            reply = self._payloads.reply(record, reply)
        candidates = choose(endpoint, config, call.served_model_name, call.metadata)
        admission = await self._gate.admit(endpoint, principal, query, spec_of(config.task))
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

    async def _answer_guarded(
        self,
        exchange: Exchange,
        candidates: Sequence[ServedEntity],
        guardrails: Guardrails,
        config: Config,
    ) -> None:
        """Answer a query that guardrails look through before, and whose answer they do."""
        call, record, query = exchange.call, exchange.record, exchange.query
        arm(record, call, guardrails, self._means)
        try:
            await look_through(record, query, config)
            if record.capture is not None:
                self._payloads.redact(record, query.body)
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
            find_endpoint(snapshot, principal, call.name, record)
        if call.receive is not None:
            call.arriving = partial(self._bodies.hold, record)
            await call.receive(call)
        elif len(call.body) > SMALL_BYTES:
            self._bodies.hold(record, len(call.body))
        raw = call.body
        # It would be held until the answer.
        call.body = b""
        if call.native is not None:
            return self._receive_native(snapshot, principal, call, record, call.native, raw)
        return self._receive_canonical(snapshot, principal, call, record, raw)

    def _receive_canonical(
        self,
        snapshot: Snapshot,
        principal: Principal,
        call: Call,
        record: Record,
        raw: bytes | JsonObject,
    ) -> tuple[Endpoint, Config, Query]:
        """Return who is asked and what, for a request in the form of the REST API."""
        endpoint = record.endpoint
        if endpoint is None and not call.task:
            endpoint = find_endpoint(snapshot, principal, call.name, record)
        self._note_request(record, call, raw)
        hosted = endpoint is not None and endpoint.active is not None and endpoint.active.hosted
        guarded = endpoint is not None and endpoint.guardrails is not None
        body = skim_body(raw) if hosted and not guarded else parse_body(raw)
        if endpoint is None:
            endpoint = find_endpoint(snapshot, principal, name_in(body), record, by_model=True)
            self._note_request(record, call, raw)
        config = record.config = active_config(endpoint, call.task)
        if call.speaker is not None and config.task == Task.CHAT and is_of_responses(body):
            native = call.native = call.reply = call.speaker.speak_responses(endpoint.name)
            call.answers_blocks = True
            # It would be of the REST API.
            record.capture = None
            return self._receive_native(snapshot, principal, call, record, native, raw)
        record.labels = parse_labels(body, call.metadata)
        if config.hosted:
            return endpoint, config, build_hosted_query(body, raw)
        return endpoint, config, build_query(spec_of(config.task), body)

    def _note_request(self, record: Record, call: Call, raw: bytes | JsonObject) -> None:
        """Let what was asked be recorded, where the endpoint has tables."""
        endpoint = record.endpoint
        if endpoint is None:
            return
        if endpoint.payloads is not None:
            record.capture = record.capture or self._payloads.open(record, call, raw)
        if endpoint.telemetry is not None and record.trace is None:
            # Addresses and models are noted for whoever is told of them.
            record.trace = endpoint.telemetry

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
        name = name_in(body)
        endpoint = find_model(snapshot, principal, name, record)
        self._note_request(record, call, raw)
        config = record.config = active_config(endpoint, call.task)
        record.labels = parse_labels(body, call.metadata)
        if config.hosted:
            return endpoint, config, build_native_hosted_query(native, body)
        if endpoint.guardrails is not None:
            # What passes untranslated nothing could look through.
            return endpoint, config, build_translated_query(native, spec_of(config.task), body)
        given = raw if isinstance(raw, bytes) else b""
        spec = spec_of(config.task)
        return endpoint, config, build_native_query(native, spec, given, body, config.entities)
