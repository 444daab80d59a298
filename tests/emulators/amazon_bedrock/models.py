"""The models that the emulator knows, and what each can do."""

import re
from dataclasses import dataclass
from typing import Literal

from tests.emulators.amazon_bedrock.errors import refusal

Format = Literal[
    "claude", "legacy-claude", "command", "j2", "titan", "llama", "titan-embed", "cohere-embed", ""
]
_PROFILE = re.compile(r"(?:us|eu|apac|global)\.")
_ARN = re.compile(
    r"arn:aws:bedrock:[a-z0-9-]+:(?:\d{12})?:(?:foundation-model|inference-profile)/(.+)"
)


@dataclass(frozen=True, slots=True)
class Model:
    """What one model can do.

    Attributes:
        form: Format of InvokeModel; empty: none.
        converses: Whether it takes part in Converse.
        sees: Whether it takes images.
        calls: Whether it calls tools.
        systems: Whether it takes system messages.
        counts: Whether only headers and metrics count its tokens.
        dimensions: Length of an embedding.
        resizable: Whether it takes the length as a parameter.
    """

    form: Format = ""
    converses: bool = False
    sees: bool = False
    calls: bool = False
    systems: bool = True
    counts: bool = False
    dimensions: int = 0
    resizable: bool = False


_CLAUDE = Model("claude", converses=True, sees=True, calls=True)
_LEGACY = Model("legacy-claude", converses=True, systems=False, counts=True)
CATALOG = {
    "anthropic.claude-v2": _LEGACY,
    "anthropic.claude-v2:1": Model("legacy-claude", converses=True, counts=True),
    "anthropic.claude-instant-v1": _LEGACY,
    "anthropic.claude-3-haiku-20240307-v1:0": _CLAUDE,
    "anthropic.claude-3-sonnet-20240229-v1:0": _CLAUDE,
    "anthropic.claude-3-5-sonnet-20240620-v1:0": _CLAUDE,
    "anthropic.claude-sonnet-4-20250514-v1:0": _CLAUDE,
    "anthropic.claude-opus-4-1-20250805-v1:0": _CLAUDE,
    "anthropic.claude-opus-4-6-v1:0": _CLAUDE,
    "anthropic.claude-opus-4-8-v1:0": _CLAUDE,
    "amazon.nova-lite-v1:0": Model(converses=True, sees=True, calls=True),
    "amazon.titan-text-express-v1": Model("titan", converses=True, systems=False),
    "amazon.titan-embed-text-v1": Model("titan-embed", dimensions=1536),
    "amazon.titan-embed-g1-text-02": Model("titan-embed", dimensions=1536),
    "amazon.titan-embed-text-v2:0": Model("titan-embed", dimensions=1024, resizable=True),
    "cohere.command-text-v14": Model("command", counts=True),
    "cohere.command-light-text-v14": Model("command", counts=True),
    "cohere.command-r-v1:0": Model(converses=True, calls=True),
    "cohere.command-r-plus-v1:0": Model(converses=True, calls=True),
    "cohere.embed-english-v3": Model("cohere-embed", counts=True, dimensions=1024),
    "cohere.embed-multilingual-v3": Model("cohere-embed", counts=True, dimensions=1024),
    "ai21.j2-mid": Model("j2"),
    "ai21.j2-mid-v1": Model("j2"),
    "ai21.j2-ultra-v1": Model("j2"),
    "ai21.jamba-1-5-mini-v1:0": Model(converses=True),
    "meta.llama2-13b-chat-v1": Model("llama", converses=True),
    "meta.llama3-8b-instruct-v1:0": Model("llama", converses=True),
}


def find(model_id: str) -> Model:
    """Return a model by its id, inference profile or ARN.

    Raises:
        Refusal: There is none.
    """
    arn = _ARN.fullmatch(model_id)
    name = _PROFILE.sub("", arn[1] if arn else model_id, count=1)
    model = CATALOG.get(name)
    if model is None:
        raise refusal("The provided model identifier is invalid.")
    return model
