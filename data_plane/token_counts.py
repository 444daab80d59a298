"""Counts the tokens of a query that nobody answers: `count_tokens`, `countTokens`.

Used by `invocation.py`; after: `upstreams/attempts.py`.
"""

from operator import itemgetter

import orjson

from modelplane.adapters.providers.types import JsonObject, NestedTooDeeply, Query, tokens_of
from modelplane.adapters.shared.rpc.metadata import REQUEST_ID, TOKENS_ESTIMATED
from modelplane.data_plane.calls.call import Call, Reply
from modelplane.data_plane.errors import MalformedRequest
from modelplane.data_plane.snapshots.snapshot import Config, Endpoint
from modelplane.data_plane.upstreams.attempts import Attempts
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


async def count_tokens(
    attempts: Attempts,
    endpoint: Endpoint,
    config: Config,
    query: Query,
    call: Call,
    reply: Reply,
) -> None:
    """Tell how many tokens a query has: what the provider says, else what limits take.

    Args:
        attempts: Asks the provider.
        endpoint: The endpoint that would be asked.
        config: Its configuration.
        query: The query.
        call: Who asks.
        reply: Gets the count.

    Raises:
        MalformedRequest: The query is nested too deeply.
    """
    count, told = None, [(REQUEST_ID, call.request_id)]
    # What guardrails may block does not go to the provider unseen.
    if query.native is not None and query.native.body and endpoint.guardrails is None:
        # What most of the traffic goes to.
        name = max(config.shares, key=itemgetter(1))[0]
        entity = config.entity(name) or config.entities[0]
        hops = count_hops(call.metadata)
        count = await attempts.count_tokens(entity, query.native, hops, endpoint.id)
    if count is None:
        count = _estimate(query.body)
        told.append((TOKENS_ESTIMATED, "true"))
    await reply.answer(tuple(told), reply.encode({"input_tokens": count}))


def _estimate(body: JsonObject) -> int:
    prompt = {name: body[name] for name in _COUNTED if name in body}
    try:
        return max(1, tokens_of(len(orjson.dumps(prompt))))
    except NestedTooDeeply:
        raise MalformedRequest("The request is nested too deeply.") from None
