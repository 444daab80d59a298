"""What judges themselves take and say, strictly: rules of their makers, for tests."""

from typing import Any

from openai.types.moderation import (
    Categories,
    CategoryAppliedInputTypes,
    CategoryScores,
    Moderation,
)
from openai.types.moderation_create_params import ModerationCreateParams
from openai.types.moderation_create_response import ModerationCreateResponse
from pydantic import TypeAdapter, ValidationError

# As the API names them; the SDK has them under names of Python.
CATEGORIES = [field.alias or name for name, field in Categories.model_fields.items()]
_TAKEN = TypeAdapter(ModerationCreateParams)


def moderate(body: dict[str, Any], *flagged: str, unsaid: tuple[str, ...] = ()) -> dict[str, Any]:
    """Answer a request of OpenAI's moderation API by the types of its SDK.

    Args:
        body: The request.
        flagged: Categories that the text is of.
        unsaid: Categories that the model does not know, which are null.

    Raises:
        ValueError: The request is none.
    """
    unknown = set(body) - set(ModerationCreateParams.__annotations__)
    try:
        _TAKEN.validate_python(body, strict=True)
    except ValidationError as error:
        raise ValueError(f"this is no request of moderation: {error}") from None
    if unknown:
        raise ValueError(f"moderation does not know {unknown}")
    said = {name: None if name in unsaid else name in flagged for name in CATEGORIES}
    scores = {name: 0.9 if name in flagged else 0.1 for name in CATEGORIES}
    result = Moderation(
        flagged=bool(flagged),
        categories=Categories.model_validate(said),
        category_scores=CategoryScores.model_validate(scores),
        category_applied_input_types=CategoryAppliedInputTypes.model_validate(
            {name: ["text"] for name in CATEGORIES}
        ),
    )
    answer = ModerationCreateResponse(id="modr-1", model="omni-moderation-latest", results=[result])
    return answer.model_dump(mode="json", by_alias=True)


def conversation(body: dict[str, Any]) -> None:
    """Check what Llama Guard's template makes of a chat: `User` and `Agent` by turns, `User` first.

    Source: the prompt format of its model card, and `llama_guard/README.md` of llama-recipes.
    """
    roles = [message["role"] for message in body["messages"]]
    assert roles == [("user", "assistant")[number % 2] for number in range(len(roles))]
    assert all(message["content"].strip() for message in body["messages"])
