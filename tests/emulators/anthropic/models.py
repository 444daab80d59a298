"""The models that the emulator knows, and what each can do."""

from dataclasses import dataclass
from typing import Literal

from tests.emulators.anthropic.errors import refusal


@dataclass(frozen=True, slots=True)
class Model:
    """What one model can do.

    Attributes:
        max_output_tokens: Largest `max_tokens`.
        legacy: Whether it is served by the text completions API, and by no other.
        directed: Whether instructions may come among its messages, with the role `system`.
        thinks: Type of `thinking` that it takes, if any; `adaptive` models take an effort too.
    """

    max_output_tokens: int = 4096
    legacy: bool = False
    thinks: Literal["enabled", "adaptive"] | None = None
    directed: bool = False


CATALOG = {
    "claude-3-haiku-20240307": Model(),
    "claude-3-sonnet-20240229": Model(),
    "claude-3-opus-20240229": Model(),
    "claude-3-5-sonnet-20240620": Model(8192),
    "claude-sonnet-4-20250514": Model(64000, thinks="enabled"),
    "claude-sonnet-4-5": Model(64000, thinks="enabled"),
    "claude-opus-4-1-20250805": Model(32000, thinks="enabled"),
    "claude-opus-4-6": Model(32000, thinks="adaptive"),
    "claude-opus-4-8": Model(32000, thinks="adaptive", directed=True),
    "claude-2": Model(legacy=True),
    "claude-2.0": Model(legacy=True),
    "claude-2.1": Model(legacy=True),
    "claude-instant-1.2": Model(legacy=True),
}


def find(name: str, *, legacy: bool) -> Model:
    """Return a model.

    Raises:
        Refusal: It does not exist, or is served by the other API.
    """
    model = CATALOG.get(name)
    if model is None:
        raise refusal(f"model: {name}", 404)
    if model.legacy != legacy:
        raise refusal(f'"{name}" is not supported on this API.')
    return model
