"""Guardrails in the story of a call: reading in turns, and what a caller gets who is blocked.

`invocation.py` lets requests be read, `upstreams/` answers; `../guardrails/` does the reading.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter

import orjson

from modelplane.adapters.providers.types import JsonObject, Query, Task
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.calls.call import Reply
from modelplane.data_plane.calls.tasks import TaskSpec, fits
from modelplane.data_plane.errors import GuardrailTriggered, InvalidParameter
from modelplane.data_plane.guardrails.guard import Guard
from modelplane.data_plane.guardrails.verdict import Phase
from modelplane.data_plane.snapshots.snapshot import Config

# So long is read before other calls get their turn: what a character takes depends on the text, and
# what a text takes on how many others there are.
_TURN_SECONDS = 0.002
_FINISHED = "content_filter"
# Whose form is known: hosted models of other tasks are asked and answer in their own.
_CHAT_AGENT = "agent/v2/chat"
_KNOWN = (Task.CHAT, Task.COMPLETIONS, Task.EMBEDDINGS)


async def take_turns(steps: Iterable[int], clock: Callable[[], float] = perf_counter) -> None:
    """Let something be read, step by step.

    Args:
        steps: Its steps.
        clock: Monotonic time, seconds.
    """
    began = clock()
    for _ in steps:
        if clock() - began >= _TURN_SECONDS:
            await asyncio.sleep(0)
            began = clock()


async def look_through(guard: Guard, query: Query, config: Config) -> None:
    """Look through a query, and put marks into it where something is masked.

    Args:
        guard: The guardrails.
        query: The query.
        config: What answers it.

    Raises:
        GuardrailTriggered: It must not pass.
        InvalidParameter: It cannot be read, or its answer could not.
    """
    free = is_free(config)
    # The pieces of such an agent's stream are in no choices.
    unreadable = free or config.task == _CHAT_AGENT
    if unreadable and query.stream and guard.rules.output is not None:
        raise InvalidParameter(
            "This endpoint's guardrails cannot look through streams of its model: leave out "
            "'stream'."
        )
    await take_turns(guard.read_request(query.body, free=free))
    if query.raw and guard.has_changed:
        query.raw = orjson.dumps(query.body)


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
