"""The tasks: what the worker has to know of each, in one table.

Everyone who treats the queries of one task otherwise than those of another reads this table, and
names no task. What asks for a task, over REST and over gRPC, is in the protos
(`adapters/shared/tasks.py`). `docs/contributing/add-a-task.md` says what else a new one takes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from modelplane.adapters.providers.types import JsonObject, Task
from modelplane.adapters.shared.tasks import PATHS, TYPED
from modelplane.data_plane.errors import InvalidParameter

# Where chats of other APIs have theirs, which may pass untranslated (`native.py`).
_OF_OTHER_APIS = ("system", "input", "instructions", "contents", "systemInstruction")
# Where no host can answer in its form: in gRPC, and past the traffic split.
_RESPONSES = (
    " A request with 'input' is one of the Responses API: send it to /serving-endpoints/responses, "
    "with the endpoint's name as its 'model'."
)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """What there is to know of a task.

    Attributes:
        check: Raises `InvalidParameter` where a body can be no query of it; drops what means
            nothing in one.
        prompt: Fields of the body whose texts a model reads.
        generates: Whether a model writes the answer, so that it has tokens of its own.
        deltas: Whether the chunks of a stream are parts of messages, of which the first has a role.
        answer: Field of a whole answer that holds the list of what was asked for; empty: none.
        operation: Its name in OpenTelemetry's conventions for generative AI.
        agents: Tasks of hosted models whose queries and answers have the same form.
    """

    check: Callable[[JsonObject], None]
    prompt: tuple[str, ...]
    generates: bool
    deltas: bool
    answer: str
    operation: str
    agents: tuple[str, ...] = ()


def _check_chat(body: JsonObject) -> None:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        hint = _RESPONSES if "input" in body else ""
        raise InvalidParameter(f"'messages' must be a list with at least one message.{hint}")
    for message in messages:
        if not isinstance(message, dict):
            raise InvalidParameter(
                "Each of 'messages' must be an object with 'role' and 'content'."
            )


def _check_completion(body: JsonObject) -> None:
    if not isinstance(body.get("prompt"), str | list):
        raise InvalidParameter("'prompt' must be a text or a list.")


def _check_embedding(body: JsonObject) -> None:
    if not isinstance(body.get("input"), str | list):
        raise InvalidParameter("'input' must be a text or a list.")
    if body.get("stream"):
        raise InvalidParameter("Embeddings cannot be streamed: leave out 'stream'.")
    body.pop("stream", None)


SPECS: Mapping[str, TaskSpec] = {
    Task.CHAT: TaskSpec(
        check=_check_chat,
        prompt=("messages", *_OF_OTHER_APIS),
        generates=True,
        deltas=True,
        answer="choices",
        operation="chat",
        agents=("agent/v1/chat", "agent/v2/chat"),
    ),
    Task.COMPLETIONS: TaskSpec(
        check=_check_completion,
        prompt=("prompt",),
        generates=True,
        deltas=False,
        answer="choices",
        operation="text_completion",
    ),
    Task.EMBEDDINGS: TaskSpec(
        check=_check_embedding,
        prompt=("input",),
        generates=False,
        deltas=False,
        answer="data",
        operation="embeddings",
    ),
}
# What is served without a task, such as a model that no provider hosts.
_NONE = TaskSpec(
    check=lambda _: None,
    prompt=(),
    generates=False,
    deltas=False,
    answer="",
    operation="query",
)


def spec_of(task: str) -> TaskSpec:
    """Return what there is to know of a task; what has no task has nothing of its own."""
    return SPECS.get(task, _NONE)


def fits(asked: str, served: str) -> bool:
    """Tell whether an endpoint that serves a task answers what asks for one."""
    return asked == served or served in spec_of(asked).agents


def _check_total(*known: Iterable[str]) -> None:
    """Let a task that was forgotten somewhere end the process at its start, not a query later."""
    for tasks in known:
        if odd := set(Task) ^ set(tasks):
            raise RuntimeError(f"known in one place and not in another: {', '.join(sorted(odd))}")


_check_total(SPECS, PATHS, TYPED)
