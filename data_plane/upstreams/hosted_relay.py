"""Puts a query to a replica of a hosted model, and carries its answer back as it is.

Called by `attempts.py` in place of `relay.py`. `../hosting/group.py` says whom to ask, or lets the
query wait; `model_server.py` knows what is said to a replica, `hosted_stream.py` relays streams.

A query is put to another replica only if none has taken it: it could not be sent, or the replica
said that it is full. What a replica has taken may have run, and is never sent again.
"""

import asyncio
from dataclasses import dataclass
from math import inf
from typing import NoReturn

from modelplane.adapters.providers.errors import AdapterError, OutOfFiles
from modelplane.adapters.providers.http.transport import HttpResponse, HttpTransport
from modelplane.adapters.providers.http1 import errors as http_errors
from modelplane.adapters.providers.types import HttpRequest, Plan
from modelplane.adapters.shared.rpc.metadata import COLD_START, Metadata
from modelplane.data_plane.accounting import Accountant
from modelplane.data_plane.calls.call import Call
from modelplane.data_plane.calls.record import Attempt
from modelplane.data_plane.errors import (
    DataPlaneError,
    DeadlineExceeded,
    EndpointNotFound,
    FatalCaller,
    FatalRequest,
    GuardrailError,
    ModelRefused,
    ReplicaLost,
)
from modelplane.data_plane.hosting.balancing import Replica
from modelplane.data_plane.hosting.group import Group, GroupGone
from modelplane.data_plane.hosting.waiting import Ticket
from modelplane.data_plane.limits.admission import Ending
from modelplane.data_plane.limits.throughput import ThroughputGate
from modelplane.data_plane.snapshots.snapshot import (
    Endpoint,
    ServedEntity,
    Snapshots,
    Throughput,
)
from modelplane.data_plane.upstreams.attempt_metrics import AttemptMetrics
from modelplane.data_plane.upstreams.deadlines import Deadlines
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.hosted_answer import answer_whole, read_body
from modelplane.data_plane.upstreams.hosted_stream import HostedStream
from modelplane.data_plane.upstreams.model_server import (
    TIMED_OUT,
    build_headers,
    is_answer,
    is_full,
    is_stranger,
    parse_failure,
    parse_load,
)
from modelplane.data_plane.upstreams.settling import settle

_EVENTS = "text/event-stream"
# The server's own deadline ends what takes too long, and says so; this one ends the server's.
_GRACE_SECONDS = 2.0
_PLAN = Plan(())
# No byte of a request has been sent where one of these is the reason.
_UNSENT = (
    http_errors.AddressRefused,
    http_errors.NameUnresolved,
    http_errors.ConnectTimedOut,
    http_errors.ConnectFailed,
)
_UNREACHABLE, _FULL, _STRANGE = "ReplicaUnreachable", "ReplicaFull", "ReplicaChanged"


@dataclass(frozen=True, slots=True)
class HostedTimeouts:
    """Bounds on the answer of a hosted model.

    Attributes:
        hold_seconds: While a query waits for a replica.
        evaluation_seconds: While the model works on it.
        idle_seconds: Between two events of a stream.
    """

    hold_seconds: float
    evaluation_seconds: float
    idle_seconds: float


class _Visit:
    """One query at one replica, which counts until it has ended."""

    __slots__ = ("_ended", "group", "replica", "response")

    def __init__(self, group: Group, replica: Replica) -> None:
        self.group = group
        self.replica = replica
        self.response: HttpResponse | None = None
        self._ended = False

    def end(self) -> None:
        """Give back the connection and the place, once."""
        if self._ended:
            return
        self._ended = True
        if self.response is not None:
            self.response.close()
        self.group.give_back(self.replica)


class HostedRelay:
    """Asks replicas over one transport, in the event loop in which it was made."""

    def __init__(
        self,
        transport: HttpTransport,
        snapshots: Snapshots,
        accountant: Accountant,
        metrics: AttemptMetrics,
        throughput: ThroughputGate,
        timeouts: HostedTimeouts,
    ) -> None:
        """Ask replicas.

        Args:
            transport: Sends to them. It may connect to any address: the control plane alone says
                which there are.
            snapshots: Holds the groups, and what serves an endpoint by now.
            accountant: Told of what comes back.
            metrics: Counts what is put to another replica.
            throughput: Holds entities to what is provisioned of them.
            timeouts: Bound it.
        """
        self._transport = transport
        self._snapshots = snapshots
        self._accountant = accountant
        self._metrics = metrics
        self._throughput = throughput
        self._timeouts = timeouts
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._deadlines = Deadlines(loop)

    def expiry(self, call: Call, endpoint: Endpoint) -> float:
        """Return when the answer to a call must have ended, on the clock of the event loop."""
        evaluation = endpoint.policy.first_byte_seconds or self._timeouts.evaluation_seconds
        limit = self._timeouts.hold_seconds + evaluation
        if call.deadline_seconds is not None:
            limit = min(limit, call.deadline_seconds)
        return self._now() + limit

    async def answer(self, exchange: Exchange, entity: ServedEntity, others: int = 0) -> None:
        """Answer a query.

        Args:
            exchange: The query and its caller.
            entity: Served entity to ask.
            others: Number of entities that may be asked when this one does not answer in time.

        Raises:
            HostedError: There is no answer.
            DeadlineExceeded: There was none in time.
        """
        record = exchange.record
        record.entity = entity
        record.address = record.model = ""
        started = self._now()
        error = ""
        try:
            self._check(exchange, entity)
            if entity.throughput is None:
                await self._answer(exchange, entity, others)
            else:
                await self._answer_within(entity.throughput, exchange, entity, others)
            error = record.error
        except GuardrailError:
            # The model has answered.
            raise
        except (DataPlaneError, asyncio.CancelledError) as failure:
            error = type(failure).__name__
            raise
        finally:
            seconds, asked = self._now() - started, record.entity or entity
            record.attempts.append(
                Attempt(asked.name, error, seconds, started, asked, record.address, "")
            )

    def _check(self, exchange: Exchange, entity: ServedEntity) -> None:
        """Check that a query may be put to the model.

        Raises:
            ModelRefused: It may not.
            FatalCaller: It may not now, as it is this caller's.
        """
        if exchange.query.stream and not entity.streamable:
            raise ModelRefused("This model does not support predict_stream method.")
        group, now = self._snapshots.groups.find(entity.group_id), self._now()
        if group.suspects.has(exchange.query.raw, now):
            raise FatalRequest
        if seconds := group.callers.held(_caller(exchange), now):
            raise FatalCaller(entity.name, seconds)

    async def _answer_within(
        self, throughput: Throughput, exchange: Exchange, entity: ServedEntity, others: int
    ) -> None:
        """Answer a query once it fits into what is provisioned."""
        part = await self._throughput.admit(throughput, entity, exchange.query)
        group = self._snapshots.groups.find(entity.group_id)
        group.count_tokens(part.wanted)
        ending = Ending.CANCELLED
        try:
            await self._answer(exchange, entity, others)
            ending = Ending.ANSWERED
        except DataPlaneError:
            ending = Ending.FAILED
            raise
        finally:
            used = part.settle(exchange.record.usage, ending)
            group.count_tokens(used - part.wanted)

    async def _answer(self, exchange: Exchange, entity: ServedEntity, others: int) -> None:
        # It may wait for long, and takes many times as much as the bytes that it was parsed from.
        exchange.query.body = {}
        ticket = self._ticket(exchange, entity, others)
        group = self._snapshots.groups.find(entity.group_id)
        group.arrive()
        while True:
            try:
                replica = await group.take(ticket)
            except GroupGone:
                entity = self._successor(exchange, entity)
                group = self._snapshots.groups.find(entity.group_id)
                ticket.queued = False
                continue
            finally:
                if ticket.queued:
                    exchange.record.waited = self._now() - ticket.came
            if await self._watch(exchange, entity, _Visit(group, replica), ticket):
                return

    def _ticket(self, exchange: Exchange, entity: ServedEntity, others: int) -> Ticket:
        now = self._now()
        held_until = now + self._timeouts.hold_seconds
        deadline = exchange.call.deadline_seconds
        in_haste = False
        if deadline is not None:
            left = exchange.expires - now
            latest = now + (left / 2 if others else left)
            in_haste = latest < held_until
            held_until = min(held_until, latest)
        return Ticket(entity.name, len(exchange.query.raw), now, held_until, in_haste)

    def _successor(self, exchange: Exchange, entity: ServedEntity) -> ServedEntity:
        """Return what serves in place of an entity whose group is gone: the configuration changed.

        Raises:
            EndpointNotFound: The endpoint is gone, too.
        """
        endpoint = self._snapshots.current.endpoints.get(exchange.endpoint.id)
        if endpoint is None:
            raise EndpointNotFound
        config = endpoint.active
        if config is None or not config.hosted:
            return entity
        successor = config.entity(entity.name)
        if successor is None and not exchange.call.served_model_name:
            successor = config.entities[config.deck.deal()]
        if successor is None or not successor.group_id:
            return entity
        exchange.record.config, exchange.record.entity = config, successor
        return successor

    async def _watch(
        self, exchange: Exchange, entity: ServedEntity, visit: _Visit, ticket: Ticket
    ) -> bool:
        """Ask a replica, see `_visit`; note whether its process has ended meanwhile."""
        is_lost = False
        try:
            taken = await self._visit(exchange, entity, visit, ticket)
            is_lost = exchange.record.error == ReplicaLost.__name__
        except ReplicaLost:
            is_lost = True
            raise
        finally:
            if is_lost:
                self._note_lost(exchange, visit)
        if taken and not exchange.record.error:
            visit.group.suspects.note_answered(exchange.query.raw)
        return taken

    def _note_lost(self, exchange: Exchange, visit: _Visit) -> None:
        """Note that a process has ended with a query in it.

        A fallback may still put the query to another entity, which may answer it; where its process
        ends as well, that is the second one, and no entity gets the query again.
        """
        now, replica = self._now(), visit.replica.id
        visit.group.callers.note_lost(_caller(exchange), replica, now)
        config = exchange.record.config
        groups = {entity.group_id for entity in config.entities} if config else set()
        for group_id in groups | {visit.group.id}:
            self._snapshots.groups.find(group_id).suspects.note_lost(
                exchange.query.raw, replica, now
            )

    async def _visit(
        self, exchange: Exchange, entity: ServedEntity, visit: _Visit, ticket: Ticket
    ) -> bool:
        """Ask a replica; return whether it has taken the query, which then is answered."""
        left = exchange.expires - self._now()
        policy = exchange.endpoint.policy
        seconds = min(left, policy.first_byte_seconds or self._timeouts.evaluation_seconds)
        in_haste = exchange.call.deadline_seconds is not None and left <= seconds
        stream = None
        try:
            with self._deadlines.within(seconds if in_haste else seconds + _GRACE_SECONDS) as by:
                response = await self._send(exchange, entity, visit, seconds)
                if response is None:
                    return False
                metadata = self._metadata(exchange, entity, ticket)
                if not is_answer(response.status):
                    raise parse_failure(response.status, await read_body(response, entity))
                if response.headers.get("content-type", "").startswith(_EVENTS):
                    stream = HostedStream(exchange, entity, metadata, self._accountant, self._now)
                    if await stream.run(response, by, self._idle_seconds(exchange.endpoint)):
                        by.move(inf)
                        await settle(response, self._deadlines)
                else:
                    document = await read_body(response, entity)
                    # Its place is free, however slowly the caller reads.
                    visit.end()
                    await answer_whole(exchange, entity, metadata, document)
        except TimeoutError:
            await _give_up(stream, by_caller=in_haste)
        finally:
            visit.end()
        return True

    async def _send(
        self, exchange: Exchange, entity: ServedEntity, visit: _Visit, seconds: float
    ) -> HttpResponse | None:
        """Return the response of a replica that has taken the query; None: it has not."""
        group, replica = visit.group, visit.replica
        record, raw = exchange.record, exchange.query.raw
        if record.trace is not None:
            record.address = replica.address
        headers = build_headers(replica, exchange.call, entity.task, seconds)
        sent = self._now()
        request = HttpRequest(
            entity.name, replica.url, headers, raw, secrets=(replica.token,), pinned=replica.tls
        )
        try:
            response = visit.response = await self._transport.send(request, _never_again)
        except OutOfFiles:
            # That is this worker's own want, and passes: the query waits for it.
            group.note_full(replica)
            return None
        except AdapterError as error:
            group.note_lost(replica)
            if isinstance(error.__cause__, _UNSENT):
                self._metrics.retries.labels(_UNREACHABLE).inc()
                return None
            raise ReplicaLost(entity.name) from error
        if is_full(response.status, response.headers):
            group.note_full(replica)
            self._metrics.retries.labels(_FULL).inc()
            return None
        if is_stranger(response.status):
            group.note_lost(replica)
            self._metrics.retries.labels(_STRANGE).inc()
            return None
        group.note_answer(replica, parse_load(response.headers), self._now() - sent)
        return response

    def _metadata(self, exchange: Exchange, entity: ServedEntity, ticket: Ticket) -> Metadata:
        metadata = exchange.metadata(entity, _PLAN)
        if ticket.cold_since is None:
            return metadata
        milliseconds = round((ticket.came + exchange.record.waited - ticket.cold_since) * 1000)
        return (*metadata, (COLD_START, str(milliseconds)))

    def _idle_seconds(self, endpoint: Endpoint) -> float:
        return endpoint.policy.idle_seconds or self._timeouts.idle_seconds


async def _give_up(stream: HostedStream | None, *, by_caller: bool) -> None:
    """Say that the model took too long: in its stream, if that has begun."""
    if stream is None or not stream.started:
        raise DeadlineExceeded(TIMED_OUT, by_caller=by_caller) from None
    await stream.fail(stream.too_slow())


def _caller(exchange: Exchange) -> str:
    principal = exchange.record.principal
    return principal.id if principal else ""


def _never_again() -> NoReturn:
    """Let a request fail whose kept connection was closed: the replica may have taken it."""
    raise http_errors.ConnectionLost
