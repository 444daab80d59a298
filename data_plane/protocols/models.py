"""Pages of lists of models, which each protocol cuts by parameters of its own; pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modelplane.adapters.providers.types import JsonObject, Task
from modelplane.data_plane.calls.tasks import fits
from modelplane.data_plane.errors import InvalidParameter

MAX_MODELS = 1_000


class Page(NamedTuple):
    """Some models of a list, and whether there are more."""

    models: Sequence[JsonObject]
    more: bool


def cut(models: Sequence[JsonObject], size: str | None, *, name: str, backwards: bool) -> Page:
    """Return as many models as a page may have.

    Args:
        models: Those that come after, or before, the page that the client has.
        size: Number that the client asks for; None: it does not say.
        name: What the number is called, for refusals.
        backwards: Whether the page is at the end.

    Raises:
        InvalidParameter: The number is none, or too large.
    """
    count = int(size) if size is not None and size.isdecimal() and len(size) < len("10000") else 0
    if size is not None and not 1 <= count <= MAX_MODELS:
        raise InvalidParameter(f"'{name}' must be from 1 to {MAX_MODELS}.")
    count = count or MAX_MODELS
    return Page(models[-count:] if backwards else models[:count], len(models) > count)


def after(models: Sequence[JsonObject], place: str | None) -> Sequence[JsonObject]:
    """Return what comes after an id in a list that is sorted by them; None: all."""
    return models if place is None else [model for model in models if str(model["id"]) > place]


def before(models: Sequence[JsonObject], place: str) -> Sequence[JsonObject]:
    """Return what comes before an id."""
    return [model for model in models if str(model["id"]) < place]


def chats(model: Mapping[str, object]) -> bool:
    """Tell whether a model of a list answers chats."""
    return fits(Task.CHAT, str(model.get("task")))
