"""The whole answer of a hosted model, from its replica to the caller.

Called by `hosted_relay.py`; `hosted_stream.py` has streams.
"""

import orjson

from modelplane.adapters.providers.errors import AdapterError, MalformedAnswer
from modelplane.adapters.providers.http.transport import HttpResponse
from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.calls.guarding import is_free, take_turns
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.errors import ModelRefused, ReplicaLost
from modelplane.data_plane.guardrails.guard import Guard
from modelplane.data_plane.snapshots.snapshot import ServedEntity
from modelplane.data_plane.upstreams.exchange import Exchange
from modelplane.data_plane.upstreams.model_server import note_usage, parse_json


async def answer_whole(
    exchange: Exchange, entity: ServedEntity, metadata: Metadata, document: bytes
) -> None:
    """Pass an answer on.

    Raises:
        GuardrailTriggered: It must not pass.
        ModelRefused: It is not what the call's task has.
    """
    note_usage(exchange.record, entity.task, document)
    guard = exchange.record.guard
    if guard is not None and guard.rules.output is not None:
        document = await _look_through(guard, exchange.record, document)
    try:
        answer = exchange.reply.pass_on(document)
    except (TypeError, ValueError):
        raise ModelRefused("The model's answer is not what the call's task has.") from None
    await exchange.reply.answer(metadata, answer)


async def _look_through(guard: Guard, record: Record, document: bytes) -> bytes:
    """Return an answer without what is masked in it.

    Raises:
        GuardrailTriggered: It must not pass.
        ModelRefused: It cannot be read.
    """
    value = parse_json(document)
    if isinstance(value, dict) and record.config and not is_free(record.config):
        await take_turns(guard.read_answer(value, record.usage))
        return orjson.dumps(value)
    held: JsonObject = {"answer": value}
    await take_turns(guard.read_answer(held, record.usage, free=True))
    return orjson.dumps(held["answer"])


async def read_body(response: HttpResponse, entity: ServedEntity) -> bytes:
    """Return the body of a response.

    Raises:
        ReplicaLost: The replica ended meanwhile.
        ModelRefused: It is too large.
    """
    try:
        return await response.body()
    except MalformedAnswer:
        raise ModelRefused("The model's answer is too large.") from None
    except AdapterError as error:
        raise ReplicaLost(entity.name) from error
