"""Guardrails in the story of a call: reading in turns, and what a caller gets who is blocked.

`invocation.py` lets requests be read, `upstreams/` answers; `../guardrails/` does the reading.
"""

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from modelplane.adapters.providers.types import JsonObject, Query, Task
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.calls.aside import Aside
from modelplane.data_plane.calls.call import Call, Reply, Service
from modelplane.data_plane.calls.judging import Court, review
from modelplane.data_plane.calls.record import Record
from modelplane.data_plane.calls.taking_turns import take_turns
from modelplane.data_plane.calls.tasks import TaskSpec, fits
from modelplane.data_plane.errors import GuardrailTriggered, InvalidParameter
from modelplane.data_plane.guardrails.cleared import Cleared
from modelplane.data_plane.guardrails.conversation import turns_of_answer, turns_of_request
from modelplane.data_plane.guardrails.guard import Guard
from modelplane.data_plane.guardrails.policy import Guardrails
from modelplane.data_plane.guardrails.stream import StreamGuard
from modelplane.data_plane.guardrails.verdict import Phase
from modelplane.data_plane.snapshots.snapshot import Config

_FINISHED = "content_filter"
# Whose form is known: hosted models of other tasks are asked and answer in their own.
_CHAT_AGENT = "agent/v2/chat"
_KNOWN = (Task.CHAT, Task.COMPLETIONS, Task.EMBEDDINGS)


class Means(NamedTuple):
    """What guardrails have beside a call.

    Attributes:
        service: Answers judges' calls.
        cleared: Knows texts that need not be read again.
        aside: Does what no caller waits for.
    """

    service: Service
    cleared: Cleared
    aside: Aside


def arm(record: Record, call: Call, guardrails: Guardrails, means: Means) -> None:
    """Give a call its guardrails.

    Args:
        record: The call's.
        call: The call.
        guardrails: The endpoint's.
        means: What they have beside it.
    """
    caller = record.principal
    if caller is None or record.endpoint is None:
        return
    rules = guardrails.rules((caller.name, *caller.group_names), record.request_id)
    record.guard = Guard(rules, caller.id, means.cleared)
    if rules.has_judges and call.judges_for is None:
        record.court = Court(means.service, call, record.endpoint.name, caller, means.aside)


async def look_through(record: Record, query: Query, config: Config) -> None:
    """Look through a query, and put marks into it where something is masked.

    Args:
        record: The call's, which has guardrails.
        query: The query.
        config: What answers it.

    Raises:
        GuardrailError: It must not pass.
        InvalidParameter: It cannot be read, or its answer could not.
    """
    guard = record.guard
    if guard is None:
        return
    free = is_free(config)
    # The pieces of such an agent's stream are in no choices.
    unreadable = free or config.task == _CHAT_AGENT
    if unreadable and query.stream and guard.rules.changes_answers:
        raise InvalidParameter(
            "This endpoint's guardrails cannot look through streams of its model: leave out "
            "'stream'."
        )
    await take_turns(guard.read_request(query.body, free=free))
    if record.court is not None:
        await review(guard, record.court, Phase.INPUT, turns_of_request(query.body, free=free))
        if guard.found[Phase.INPUT].blocked:
            raise guard.refuse_request(query.body)
    if query.raw and guard.has_changed:
        query.raw = orjson.dumps(query.body)


async def look_through_answer(record: Record, answer: JsonObject, *, free: bool = False) -> None:
    """Look through a whole answer, put marks into it, and restore what pseudonyms stand for.

    Args:
        record: The call's.
        answer: The answer.
        free: Whether it has a form of its own.

    Raises:
        GuardrailError: It must not pass.
    """
    guard = record.guard
    if guard is None:
        return
    await take_turns(guard.read_answer(answer, record.usage, free=free))
    if record.court is not None:
        turns = turns_of_answer(answer, free=free)
        await review(guard, record.court, Phase.OUTPUT, turns)
        if guard.found[Phase.OUTPUT].blocked:
            raise guard.refuse_answer(record.usage)
    guard.finish_answer(answer, free=free)


async def judge_stream(record: Record, stream: StreamGuard) -> None:
    """Ask the judges about a stream that has ended.

    Raises:
        GuardrailUnchecked: One does not say whether it may pass, and so it may not.
    """
    if record.guard is not None and record.court is not None and stream.side.listens:
        await review(record.guard, record.court, Phase.OUTPUT, stream.turns)


def is_free(config: Config) -> bool:
    """Tell whether queries and answers have a form that only the model knows."""
    return config.hosted and not any(fits(task, config.task) for task in _KNOWN)


class ModelRefusal:
    """What a blocked call gets as an answer: that of a model that refuses.

    The mirrored product's newer routes have it, and clients of other APIs need it.
    """

    def __init__(self, error: GuardrailTriggered, spec: TaskSpec, frame: JsonObject) -> None:
        """Refuse.

        Args:
            error: What blocks the call.
            spec: Task of the call.
            frame: What answers have in common: `id`, `created`, and `model`.
        """
        self._reason = error.reason
        self._deltas = spec.deltas
        phase = "pre_call" if error.phase == Phase.INPUT else "post_call"
        policy = {"name": error.policy, "action": "deny", "phase": phase, "reason": error.reason}
        self._frame = {**frame, "databricks_service_policy": policy}

    async def answer(self, reply: Reply, metadata: Metadata, *, stream: bool) -> None:
        """Send the answer, as a whole or as a stream."""
        if stream:
            await reply.start(metadata)
            await reply.send([*map(reply.encode, self.chunks())], ended=True)
        else:
            await reply.answer(metadata, reply.encode(self.whole()))

    def whole(self) -> JsonObject:
        """Return the answer as a whole."""
        said: JsonObject = {"text": self._reason}
        if self._deltas:
            said = {"message": {"role": "assistant", "content": self._reason}}
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        kind = "chat.completion" if self._deltas else "text_completion"
        answer = self._chunk(kind, said, _FINISHED)
        return answer | {"usage": usage}

    def chunks(self) -> Sequence[JsonObject]:
        """Return the answer as chunks."""
        if self._deltas:
            kind = "chat.completion.chunk"
            said: JsonObject = {"delta": {"role": "assistant", "content": self._reason}}
            nothing: JsonObject = {"delta": {}}
        else:
            kind, said, nothing = "text_completion", {"text": self._reason}, {"text": ""}
        return self._chunk(kind, said, None), self._chunk(kind, nothing, _FINISHED)

    def _chunk(self, kind: str, said: JsonObject, finished: str | None) -> JsonObject:
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finished}
        return {**self._frame, "object": kind, "choices": [choice]}
