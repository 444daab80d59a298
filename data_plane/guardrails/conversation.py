"""What judges read: the texts of a request or an answer, as turns of a conversation; pure.

Texts that have passed once are not judged again, so that a history that is sent again costs
nothing; what came just before goes along, since a text may mean nothing without it.
"""

from collections.abc import Iterator, Sequence

from modelplane.adapters.providers.canonical.json_values import as_object, as_objects
from modelplane.adapters.providers.types import JsonObject
from modelplane.data_plane.guardrails.judges import MOST_PIECES, PIECE_CHARACTERS, Turn
from modelplane.data_plane.guardrails.places import places_of_any, places_of_request

USER, ASSISTANT = "user", "assistant"
# What goes along of what was said before.
_CONTEXT_CHARACTERS = 4_000


def turns_of_request(body: JsonObject, *, free: bool = False) -> Sequence[Turn]:
    """Return what a request says; `free`: it has a form of its own."""
    if free:
        return _turn(USER, (place.text for place in places_of_any(body)))
    messages = as_objects(body.get("messages"))
    others = {name: value for name, value in body.items() if name != "messages"}
    turns = list(_turn(USER, (place.text for place in places_of_request(others))))
    for message in messages:
        role = ASSISTANT if message.get("role") == ASSISTANT else USER
        turns += _turn(role, (place.text for place in places_of_request({"messages": [message]})))
    return turns


def turns_of_answer(answer: JsonObject, *, free: bool = False) -> Sequence[Turn]:
    """Return what each choice of an answer says; `free`: it has a form of its own."""
    if free:
        return _turn(ASSISTANT, (place.text for place in places_of_any(answer)))
    turns: list[Turn] = []
    for choice in as_objects(answer.get("choices")):
        said = {"messages": [as_object(choice.get("message"))], "prompt": choice.get("text")}
        turns += _turn(ASSISTANT, (place.text for place in places_of_request(said)))
    return turns


def split(turn: Turn) -> Iterator[Turn]:
    """Yield a turn in pieces that a judge can read."""
    for start in range(0, len(turn.text), PIECE_CHARACTERS):
        yield Turn(turn.role, turn.text[start : start + PIECE_CHARACTERS])


def is_too_long(turns: Sequence[Turn]) -> bool:
    """Tell whether there is more than judges are asked about in one call."""
    return sum(len(turn.text) for turn in turns) > MOST_PIECES * PIECE_CHARACTERS


def ending(turns: Sequence[Turn]) -> Sequence[Turn]:
    """Return the end of what was said, as far as it goes along with what comes next."""
    room, kept = _CONTEXT_CHARACTERS, []
    for turn in reversed(turns):
        if room <= 0:
            break
        kept.append(Turn(turn.role, turn.text[-room:]))
        room -= len(turn.text)
    return kept[::-1]


def _turn(role: str, texts: Iterator[str]) -> Sequence[Turn]:
    text = "\n".join(texts)
    return [Turn(role, text)] if text.strip() else []
