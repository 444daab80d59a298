"""The models that the emulator knows, and what each can do; `schema` and `answers` ask here."""

from dataclasses import dataclass
from typing import Literal

from tests.emulators.openai.errors import ApiError

Task = Literal["chat/completions", "completions", "embeddings"]


@dataclass(frozen=True, slots=True)
class Model:
    """What one model can do."""

    task: Task
    max_output_tokens: int = 4096
    # Reasoning models take `max_completion_tokens` only.
    reasoning: bool = False
    # Length of an embedding; `resizable` models accept `dimensions`.
    dimensions: int = 0
    resizable: bool = False


CATALOG: dict[str, Model] = {
    "gpt-4": Model("chat/completions", 8192),
    "gpt-4o": Model("chat/completions", 16384),
    "gpt-4o-mini": Model("chat/completions", 16384),
    "gpt-3.5-turbo": Model("chat/completions"),
    "o3-mini": Model("chat/completions", 100_000, reasoning=True),
    "gpt-3.5-turbo-instruct": Model("completions"),
    "babbage-002": Model("completions", 16384),
    "davinci-002": Model("completions", 16384),
    "text-embedding-ada-002": Model("embeddings", dimensions=1536),
    "text-embedding-3-small": Model("embeddings", dimensions=1536, resizable=True),
    "text-embedding-3-large": Model("embeddings", dimensions=3072, resizable=True),
}


def find(name: str, task: Task) -> Model:
    """Return the model that answers `task`; `ft:BASE:…` names a fine-tuned one, as in the API.

    Raises:
        ApiError: The model does not exist, or answers another task.
    """
    model = CATALOG.get(name.split(":")[1] if name.startswith("ft:") else name)
    if model is None:
        message = f"The model `{name}` does not exist or you do not have access to it."
        raise ApiError(message, status=404, code="model_not_found")
    if model.task != task:
        message = f"The model `{name}` is not supported in the v1/{task} endpoint."
        raise ApiError(message, status=404, param="model")
    return model
