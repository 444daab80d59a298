"""Brings the messages of a chat into the order that providers demand, as a whole.

OpenAI's API finds the result of a call by its id, wherever it stands, and takes blank turns and
several turns of one side in a row. Other providers find it by its place, refuse what is blank, and
want the sides to take turns. What a message becomes thus depends on all the others, which is why
this comes before any of them is translated. Who says what is refused:

- turns that do not alternate, or do not begin with the user's: Anthropic, Bedrock ("A conversation
  must start with a user message"), Gemini ("ensure that multiturn requests alternate");
- calls without their results in the next turn, or with others': all of them; Gemini counts them
  ("number of function response parts is equal to") and pairs them by their places;
- ids of calls that repeat: Anthropic ("`tool_use` ids must be unique");
- blank texts, empty turns: Anthropic ("must contain non-whitespace text"), Bedrock, Gemini;
- thoughts at the end of a turn: Anthropic ("The final block in an assistant message cannot be
  `thinking`");
- blanks at the end of what the model is to go on from: Anthropic ("final assistant content cannot
  end with trailing whitespace");
- the assistant speaking last: Gemini, Cohere, Bedrock but for Claude, Claude from 4.6 on.

`messages.py` reads the messages; the adapters of providers write what is arranged here.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from modelplane.adapters.providers.canonical.messages import Message, OtherPart, Part, TextPart
from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.errors import refusal

# Says for a turn that has to be there that there is nothing in it.
NOTHING_SAID = "(no text)"
_THINKING = frozenset({"thinking", "redacted_thinking"})


@dataclass(frozen=True, slots=True)
class Turn:
    """Consecutive messages of one side; `role` is `user` (tools included) or `assistant`."""

    role: str
    messages: Sequence[Message]


def arrange(
    parameters: Parameters, messages: Sequence[Message], *, prefill: bool = False
) -> tuple[list[Message], list[Turn]]:
    """Return the system messages, and the others as turns of alternating sides, the user's first.

    Results follow their calls, in the calls' order; nothing is blank.

    Args:
        parameters: Told of what is changed.
        messages: The messages of a chat.
        prefill: Whether the assistant may speak last, and the model goes on from there.

    Raises:
        RequestRefused: A call and its result do not find each other, or nobody is to be answered.
    """
    ordered = order_messages(parameters, messages)
    system = [message for message in ordered if message.role == "system"]
    if ordered[: len(system)] != system:
        parameters.note("messages=system moved to the front")
    turns = [
        Turn(role, tuple(members))
        for role, members in groupby(
            (message for message in ordered if message.role != "system"), key=_side
        )
    ]
    if messages and (not turns or turns[0].role == "assistant"):
        parameters.note("messages=a turn of the user put first")
        turns.insert(0, Turn("user", (_placeholder(),)))
    if not turns:
        raise parameters.refusal("'messages' must hold at least one message.")
    if turns[-1].role == "assistant":
        turns[-1] = _end(parameters, turns[-1], prefill=prefill)
    return system, turns


def order_messages(parameters: Parameters, messages: Sequence[Message]) -> list[Message]:
    """Return messages with each result right behind its calls, and nothing blank among them.

    Args:
        parameters: Told of what is changed.
        messages: The messages of a chat.

    Raises:
        RequestRefused: A call and its result do not find each other.
    """
    kept = [_without_blanks(parameters, message) for message in messages]
    calls = any(message.role == "tool" or message.tool_calls for message in kept)
    paired = _pair(parameters.provider, kept) if calls else kept
    return _fill(parameters, paired) if any(map(_is_blank, paired)) else paired


def _pair(provider: str, messages: Sequence[Message]) -> list[Message]:
    """Return messages with results behind their calls, under ids that no two calls share."""
    results: dict[str, deque[Message]] = {}
    for message in messages:
        if message.role == "tool":
            results.setdefault(message.tool_call_id, deque()).append(message)
    calls = Counter(call.id for message in messages for call in message.tool_calls)
    _refuse_lonely(provider, calls, Counter({name: len(found) for name, found in results.items()}))
    used: set[str] = set()
    paired: list[Message] = []
    for message in messages:
        if message.role == "tool":
            continue
        if not message.tool_calls:
            paired.append(message)
            continue
        own = [_unused(call.id, used) for call in message.tool_calls]
        found = [results[call.id].popleft() for call in message.tool_calls]
        paired += _rename(message, found, own)
    return paired


def _rename(message: Message, results: Sequence[Message], names: Sequence[str]) -> list[Message]:
    """Return a message with calls, and the calls' results, under other ids."""
    calls = message.tool_calls
    if [call.id for call in calls] == names:
        return [message, *results]
    renamed = [replace(call, id=name) for call, name in zip(calls, names, strict=True)]
    told = [replace(one, tool_call_id=name) for one, name in zip(results, names, strict=True)]
    return [replace(message, tool_calls=renamed), *told]


def _refuse_lonely(provider: str, calls: Counter[str], results: Counter[str]) -> None:
    if calls == results:
        return
    for name in calls - results:
        raise refusal(
            provider,
            f"'messages' hold no result of the call '{name}': send a message of role 'tool' with "
            f"the 'tool_call_id' '{name}'.",
        )
    for name in results - calls:
        raise refusal(
            provider,
            f"'messages' hold a result with the 'tool_call_id' '{name}' that no assistant message "
            "has in its 'tool_calls', or one result too many of it.",
        )


def _unused(name: str, used: set[str]) -> str:
    """Return an id that no earlier call has; some models count their calls anew in each turn."""
    own, number = name, 1
    while own in used:
        number += 1
        own = f"{name}_{number}"
    used.add(own)
    return own


def _without_blanks(parameters: Parameters, message: Message) -> Message:
    parts = [part for part in message.parts if not _says_nothing(part)]
    if len(parts) == len(message.parts):
        return message
    parameters.note("messages=blank texts left out")
    return replace(message, parts=parts)


def _fill(parameters: Parameters, messages: Sequence[Message]) -> list[Message]:
    """Return messages without blank ones; one of the user's that stands alone is filled instead."""
    filled: list[Message] = []
    spoken = [one for one in messages if one.role != "assistant" or not _is_blank(one)]
    if len(spoken) < len(messages):
        parameters.note("messages=blank turn of the assistant left out")
    for side, members in groupby(spoken, key=_side):
        turn = list(members)
        own = [one for one in turn if not _is_blank(one)]
        users = {one.role for one in turn} - {"system"}
        if side == "user" and users == {"user"} and all(one.role == "system" for one in own):
            parameters.note("messages=blank turn of the user filled in")
            own.append(_placeholder())
        filled += own
    return filled


def _side(message: Message) -> str:
    return "assistant" if message.role == "assistant" else "user"


def _is_blank(message: Message) -> bool:
    """Tell whether a message says nothing; thoughts without what came of them are nothing."""
    if message.role == "tool" or message.tool_calls:
        return False
    return all(isinstance(part, OtherPart) and part.type in _THINKING for part in message.parts)


def _says_nothing(part: Part) -> bool:
    return isinstance(part, TextPart) and not part.text.strip()


def _placeholder() -> Message:
    return Message("user", (TextPart(NOTHING_SAID),))


def _end(parameters: Parameters, turn: Turn, *, prefill: bool) -> Turn:
    """Return the assistant's turn that is the last one."""
    if not prefill:
        raise parameters.refusal(
            "The last of 'messages' must be of the user or a tool: this model does not go on from "
            "what the assistant says."
        )
    *before, last = turn.messages
    *parts, end = last.parts
    if not isinstance(end, TextPart) or end.text == end.text.rstrip():
        return turn
    parameters.note("messages=blanks at the end removed")
    trimmed = replace(last, parts=[*parts, replace(end, text=end.text.rstrip())])
    return Turn(turn.role, (*before, trimmed))


def without_thoughts(messages: object) -> object:
    """Return the messages of a chat without signed thoughts, for whom these mean nothing."""
    if not isinstance(messages, list):
        return messages
    return [
        {name: value for name, value in message.items() if name != "thinking_blocks"}
        if isinstance(message, dict) and "thinking_blocks" in message
        else message
        for message in messages
    ]
